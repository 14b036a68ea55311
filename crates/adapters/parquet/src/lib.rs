//! Dataset versions as Parquet files: import, count, freeze.
