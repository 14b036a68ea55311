//! A cluster of Loa for tests: started, killed, compared with the sinks log.
