//! Postgres' own client, which publishes nothing: what can be read at all.

use std::process::Stdio;

use tokio::process::Command;

use super::Backlog;
use crate::usage::Run;

impl Backlog<'_> {
    /// From the start of the process to the end of the log.
    pub(crate) async fn pg_recvlogical(&self) -> Run {
        let slot = self.copy_slot().await;
        let mut command = Command::new(self.world.binaries.program("pg_recvlogical"));
        command.args(["--start", "--no-loop", "--fsync-interval=0", "--file=/dev/null", "--slot", &slot]);
        command.args(["--endpos", &self.end, "--dbname", &self.world.postgres.url()]);
        command.args(["-o", "proto_version=1", "-o", "publication_names=walpost", "-o", "binary=true"]);
        command.stdin(Stdio::null());
        let run = Run::of(command).await;
        self.drop_slot(&slot).await;
        run
    }
}
