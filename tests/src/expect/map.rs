//! Whether a map has all connections.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Nothing was lost, and each connection to servers at `port` but what the kernel skipped is counted
/// once, at both ends.
pub fn whole_map(map: &str, port: u16, connections: u64) -> Result<()> {
    let map: Value = serde_json::from_str(map).context("read the map")?;
    let mut skipped = 0;
    for host in map["coverage"].as_array().context("`coverage`")? {
        ensure!(host["lost"] == json!({}), "lost: {host}");
        skipped += host["missed"].as_u64().context("`missed`")?;
    }
    let of_all = |figure: &dyn Fn(&Value) -> &Value| -> u64 {
        let edges = map["edges"].as_array().into_iter().flatten();
        let edges = edges.filter(|edge| edge["port"] == port);
        edges.filter_map(|edge| figure(edge).as_u64()).sum()
    };
    for (what, figure) in [
        ("established", of_all(&|edge| &edge["established"])),
        ("terminated", of_all(&|edge| &edge["terminated"])),
        ("both", of_all(&|edge| &edge["evidence"]["both"])),
    ] {
        ensure!(
            figure <= connections && figure + skipped >= connections,
            "{what}: {figure} of {connections} connections, {skipped} calls skipped"
        );
    }
    Ok(())
}
