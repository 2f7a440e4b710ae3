//! Clues → workload: which of what is known of a process an operator would name it by.
//!
//! Pure: others read `/proc`, cgroups and what runtimes know. [`from_proc_cgroup`] reads
//! the kernel's list of cgroups, [`membership`] the path of one, [`Roles`] tells what programs
//! are for.

mod cgroup;
mod proc_cgroup;
mod roles;

pub use cgroup::{
    FoundContainer, FoundPod, MAX_ID_BYTES, MAX_UNIT_BYTES, Membership, Qos, membership,
};
pub use proc_cgroup::{Line, from_proc_cgroup};
pub use roles::{Problem, Roles, RolesError};
