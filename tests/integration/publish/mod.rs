//! Publishing: what reaches the stream, what its answers mean, and who is let in.

mod chain;
mod connection;
mod credentials;
mod event;
mod hostile;
mod inspection;
