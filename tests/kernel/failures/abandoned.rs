//! Attempts that their caller gave up while nobody answered.

use anyhow::{Context as _, Result, ensure};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tracer_tests::{
    agent::{Agent, Dial, Slot},
    tests,
};

use super::{
    ABANDONED, Attempt, FAMILIES, SYN_SENT, World, at_once, begin, dead, deaf, wait_for_state,
};

tests!("failures::abandoned":
    by_close,
    by_reset,
    by_shutdown,
    by_dissolution,
    by_a_time_limit,
    by_death,
    by_death_in_connect,
);

/// Begins an attempt of every family and has `give_up` end it.
fn given_up(give_up: fn(&mut Agent, Slot) -> Result<()>) -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let to = deaf(&mut server, family.loopback())?;
        let (slot, attempt) = begin(&mut client, family.dial(to))?;
        give_up(&mut client, slot)?;
        attempts.push(attempt);
    }
    only_abandoned(world, &attempts)
}

fn only_abandoned(world: World, attempts: &[Attempt]) -> Result<()> {
    let mut seen = world.finish()?;
    for attempt in attempts {
        if let Some(line) = seen.failed(attempt, ABANDONED)? {
            let syns = line["failure"]["unanswered_syns"].as_u64();
            ensure!(syns > Some(0), "no SYN is told of: {line}");
        }
    }
    seen.nothing_more()
}

fn by_close() -> Result<()> {
    given_up(Agent::close)
}

fn by_reset() -> Result<()> {
    given_up(Agent::reset)
}

fn by_shutdown() -> Result<()> {
    given_up(|client, slot| {
        client.shutdown(slot)?;
        client.close(slot)
    })
}

fn by_dissolution() -> Result<()> {
    given_up(|client, slot| {
        client.dissolve(slot)?;
        client.close(slot)
    })
}

/// `SO_SNDTIMEO`: connect() returns, the attempt goes on until it is closed.
fn by_a_time_limit() -> Result<()> {
    let world = World::new()?;
    let (mut client, mut server) = (world.agent()?, world.agent()?);
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let to = deaf(&mut server, family.loopback())?;
        let answer = client.dial(Dial {
            patience: Some(1),
            ..family.dial(to)
        })?;
        ensure!(
            answer.errno == Some(Errno::INPROGRESS.raw_os_error()),
            "{family:?}: {answer:?}"
        );
        client.close(answer.slot.context("a socket")?)?;
        attempts.push(Attempt::new(client.pid(), answer.local()?.port(), to));
    }
    only_abandoned(world, &attempts)
}

fn by_death() -> Result<()> {
    let world = World::new()?;
    let mut server = world.agent()?;
    let mut attempts = Vec::new();
    for family in FAMILIES {
        let to = deaf(&mut server, family.loopback())?;
        let mut client = world.agent()?;
        attempts.push(begin(&mut client, family.dial(to))?.1);
        client.kill()?;
    }
    only_abandoned(world, &attempts)
}

fn by_death_in_connect() -> Result<()> {
    let world = World::new()?;
    let mut server = world.agent()?;
    let mut works = Vec::new();
    for family in FAMILIES {
        let to = deaf(&mut server, family.loopback())?;
        let from = dead(&mut server, family.loopback())?;
        let mut client = world.agent()?;
        let netns = &world.netns;
        works.push(move || {
            let pid = client.pid();
            let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let process = process.context("a process id")?;
            let dial = Dial {
                from: Some(from),
                ..family.dial(to)
            };
            std::thread::scope(|scope| {
                let dialling = scope.spawn(|| client.dial(dial));
                wait_for_state(netns, (from, to), SYN_SENT)?;
                kill_process(process, Signal::KILL).context("kill the client")?;
                let answer = dialling
                    .join()
                    .map_err(|_| anyhow::anyhow!("the client's thread panicked"))?;
                ensure!(answer.is_err(), "{family:?}: {answer:?}");
                Ok(())
            })?;
            // It is dead once its parent has heard of it.
            client.kill()?;
            Ok(Attempt::new(pid, from.port(), to))
        });
    }
    let attempts = at_once(works)?;
    only_abandoned(world, &attempts)
}
