//! Fakes of ports, a clock to turn, the storm, an OTLP receiver.
