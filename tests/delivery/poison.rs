//! Events that no message can carry: a dead letter takes the place of each, and everything else goes on as if nothing
//! had happened.

mod dead;
mod halts;
mod killed;
mod kinds;
mod limits;
