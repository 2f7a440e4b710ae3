//! Harness of tracer's suites: what a test needs to make TCP traffic whose truth
//! is known, and to compare it with what tracer printed.
//!
//! - [`netns`]: network namespaces of a test's own
//! - [`agent`]: one child process that does, socket call by socket call, what a test asks
//! - [`play`]: short plays by processes that come and go
//! - [`container`]: containers, in control groups named as runtimes name them
//! - [`cgroup`], [`landlock`]: policies that forbid connect()
//! - [`traffic`]: many child processes that make many connections, each writing a ledger
//! - [`storm`], [`hold`]: as many connections as can be made, or held
//! - [`flood`]: a user who fills tables
//! - [`moments`]: traffic that a recording begins and ends in the midst of
//! - [`unanswered`]: a process whose memory cannot be looked at
//! - [`shop`]: a small application that asks a database and a cache
//! - [`ledger`]: what really happened, end by end
//! - [`expect`]: what tracer printed against what really happened
//! - [`tracer`]: the program under test
//! - [`bpf`], [`refuse`]: what of eBPF the kernel holds, and a kernel that has less of it
//! - [`suite`], [`skip`]: running the tests, and saying why one did not run
//! - [`init`]: process 1 of the test machines
//!
//! Rules: namespaces of its own and loopback only, port 0, conditions with deadlines
//! in place of sleeps, nothing asserted about how long a thing took.

pub mod agent;
pub mod bpf;
pub mod cgroup;
pub mod container;
pub mod expect;
pub mod flood;
pub mod hold;
pub mod init;
pub mod landlock;
pub mod ledger;
pub mod moments;
pub mod netns;
mod passing;
pub mod play;
pub mod refuse;
pub mod ring;
pub mod shop;
pub mod skip;
pub mod storm;
pub mod suite;
pub mod tracer;
pub mod traffic;
pub mod unanswered;
pub mod wait;
