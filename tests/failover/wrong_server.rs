//! Servers that are not the one after the failover: refused, with nothing stored and nothing created.

use std::{path::Path, process::Command};

use walpost::sandbox::servers::StopMode;

use crate::{
    pair::{Pair, url},
    world::versions,
};

#[tokio::test]
async fn the_primary_from_before_the_failover_is_refused_when_it_comes_back() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 3).await;
        pair.fail_over(&daemon).await;
        Pair::record(&pair.standby, 1).await;
        pair.until_stored(4).await;
        assert_eq!(daemon.terminate().await, 0);

        pair.primary.restart().await.unwrap();
        Pair::record(&pair.primary, 10).await;
        let settings = pair.settings.clone().with("POSTGRES_URL", &url(&[&pair.primary]));
        let answer = settings.with("LOG_FORMAT", "pretty").run(&["run"]).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        let lines = [
            "error: WP0703 the stream was written on timeline 2, which the server's timeline 1 does not continue\n",
            "hint: this looks like a primary from before a failover: let postgres.url lead to the one after it",
        ];
        assert!(lines.iter().all(|line| answer.stderr.contains(line)), "{}", answer.stderr);
        assert_eq!(pair.reader.last_sequence().await, 4);
    }
}

#[tokio::test]
async fn an_old_copy_of_the_database_is_refused() {
    for binaries in versions() {
        let (mut pair, daemon) = Pair::delivering(binaries, 1).await;
        assert_eq!(daemon.terminate().await, 0);
        pair.primary.stop(StopMode::Fast).await.unwrap();
        let data = pair.primary.data_dir().to_owned();
        let copy = data.with_extension("copy");
        copy_to(&data, &copy);
        pair.primary.restart().await.unwrap();
        let daemon = pair.settings.lead().await;
        Pair::record(&pair.primary, 10).await;
        pair.until_stored(11).await;
        assert_eq!(daemon.terminate().await, 0);
        pair.primary.kill().await.unwrap();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&copy, &data).unwrap();
        pair.primary.restart().await.unwrap();

        let answer = pair.settings.clone().with("LOG_FORMAT", "pretty").run(&["run"]).await;
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        let lines = [
            "error: WP0705 the stream has seen the log up to ",
            "hint: this looks like an old copy of the database: let postgres.url lead to the right one",
        ];
        assert!(lines.iter().all(|line| answer.stderr.contains(line)), "{}", answer.stderr);
        assert_eq!(pair.reader.last_sequence().await, 11);
    }
}

/// Copies a folder with owners, rights and times.
fn copy_to(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
