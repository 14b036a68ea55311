//! The campaign registry: units, templates, notices, campaigns, approvals, audit.
