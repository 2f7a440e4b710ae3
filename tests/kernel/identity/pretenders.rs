//! A user without rights who calls programs like units, with addresses of that user's choice, and wants them to be let
//! through a firewall.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use tracer_tests::{
    expect,
    skip::{need, skip},
    tests,
    tracer::{Process, live_command, output, unprivileged},
};

tests!("pretenders": programs_called_like_units_are_in_no_rule);

/// What that user does in a network namespace of their own: both ends of a connection, each at an address.
const ATTACK: &str = r#"
ip link set lo up && ip addr add 10.9.8.8/32 dev lo && ip addr add 10.9.9.9/32 dev lo &&
ip route replace local 10.9.9.9 dev lo table local src 10.9.8.8 || exit 77
"$1/postgresql.service" --port 5432 --bind 10.9.9.9 --save "" --protected-mode no >/dev/null &
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  sleep 0.2
  "$1/app.service" -h 10.9.9.9 -p 5432 ping && break
done
sleep 0.3
kill $!
wait
"#;

fn programs_called_like_units_are_in_no_rule() -> Result<()> {
    need("ip")?;
    let (unshare, server, client) = (need("unshare")?, need("redis-server")?, need("redis-cli")?);
    let folder = tempfile::tempdir().context("make a folder")?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    for (from, to) in [(server, "postgresql.service"), (client, "app.service")] {
        fs::copy(from, folder.path().join(to)).context("copy a program")?;
    }
    let split = folder.path().join("split");
    fs::write(&split, "app = 10.9.8.0/24\ndb = 10.9.9.0/24\n")?;
    let mut firewall = live_command("groups", &["-v", "-o", "nftables", "--split"])?;
    let mut firewall = Process::spawn(firewall.arg(&split), true)?;
    firewall.wait_until_watching()?;
    let mut attack = Command::new(unshare);
    attack.args([
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        ATTACK,
        "sh",
    ]);
    unprivileged(attack.arg(folder.path()));
    let attack = output(&mut attack)?;
    firewall.signal(Signal::INT)?;
    let run = firewall.finish()?;
    if !attack.text()?.contains("PONG") {
        return skip("user namespaces", attack.stderr);
    }
    run.expect_code(0)?;
    expect::harmless(&run.stdout)?;
    let rules = run.text()?;
    // It was seen, and crosses; and nothing is made of it.
    ensure!(
        rules.contains("- executable app.service") && rules.contains(" port 5432: "),
        "{rules}"
    );
    for word in ["10.9.8.8", "10.9.9.9", "dport", "Proven"] {
        ensure!(!rules.contains(word), "{word}: {rules}");
    }
    ensure!(rules.contains("NOT PROVEN"), "{rules}");
    Ok(())
}
