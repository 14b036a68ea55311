//! Account buckets over all nodes, counted by Redis.
