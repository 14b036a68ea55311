//! The email gateway: claims, MIME, verdicts.
