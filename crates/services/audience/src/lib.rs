//! Audience: datasets, segments, frozen chunks, consent and suppression.
