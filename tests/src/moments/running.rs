//! The process whose children come and go. Apart from those that dial and serve: a child has copies of its parent's
//! sockets until it is another program, and none of them would be closed when its owner closes it.

use std::{
    io,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::truth::{self, Between, Deed, Ran, now};
use crate::traffic;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(50);

/// Until standard input ends.
pub(crate) fn run_parent(folder: &Path) -> Result<()> {
    let is_over = AtomicBool::new(false);
    let deeds = std::thread::scope(|scope| {
        let children = scope.spawn(|| {
            let mut deeds = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                deeds.push(run(&mut traffic::command("moments-pass", &())?)?);
                std::thread::sleep(PAUSE);
            }
            anyhow::Ok(deeds)
        });
        // Nothing is ever written to it.
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        is_over.store(true, Ordering::Relaxed);
        let deeds = children
            .join()
            .map_err(|_| anyhow!("a thread panicked"))??;
        ended.context("wait for the end")?;
        anyhow::Ok(deeds)
    })?;
    truth::write(folder, &deeds)
}

fn run(command: &mut Command) -> Result<Deed> {
    let begun = now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("start a process")?;
    let pid = child.id();
    let status = child.wait().context("wait for a process")?;
    ensure!(status.success(), "a process ended with {status}");
    Ok(Deed::Ran(Ran {
        pid,
        lived: Between::since(begun),
    }))
}
