//! Which eBPF programs and links the kernel holds, by their numbers, and what is in its maps.

use std::{
    collections::BTreeSet,
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail, ensure};

/// Numbers of all programs and links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Links, where the kernel has them (5.8).
    pub links: BTreeSet<u32>,
}

impl Held {
    /// Asks the kernel.
    pub fn now() -> Result<Self> {
        Ok(Self {
            programs: ids(BPF_PROG_GET_NEXT_ID).context("list eBPF programs")?,
            links: ids(BPF_LINK_GET_NEXT_ID).context("list eBPF links")?,
        })
    }

    /// What is held here and was not `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            programs: self
                .programs
                .difference(&before.programs)
                .copied()
                .collect(),
            links: self.links.difference(&before.links).copied().collect(),
        }
    }

    /// What of `other` is held here too.
    pub fn of(&self, other: &Self) -> Self {
        Self {
            programs: self
                .programs
                .intersection(&other.programs)
                .copied()
                .collect(),
            links: self.links.intersection(&other.links).copied().collect(),
        }
    }
}

/// How often the kernel did not run one of these programs as it was running already, on the
/// same CPU: an interrupt came in the midst of it. Programs that are gone count nothing.
pub fn skipped_runs(programs: &BTreeSet<u32>) -> Result<u64> {
    let mut total = 0;
    for id in programs {
        let Some(fd) = by_id(BPF_PROG_GET_FD_BY_ID, *id) else {
            continue;
        };
        let mut info = [0_u64; INFO_WORDS];
        ask(&fd, &mut info).context("ask about an eBPF program")?;
        total += info[RECURSION_MISSES];
    }
    Ok(total)
}

/// A map of a running program under test.
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

impl Map {
    /// The newest of that name.
    pub fn newest(name: &str) -> Result<Self> {
        let ids = ids(BPF_MAP_GET_NEXT_ID).context("list eBPF maps")?;
        for id in ids.iter().rev() {
            let Some(fd) = by_id(BPF_MAP_GET_FD_BY_ID, *id) else {
                continue;
            };
            let mut info = [0_u64; MAP_INFO_WORDS];
            ask(&fd, &mut info).context("ask about an eBPF map")?;
            let its_name = info[MAP_NAME..].iter().flat_map(|word| word.to_ne_bytes());
            if its_name.take_while(|byte| *byte != 0).eq(name.bytes()) {
                // `key_size` and `value_size` share the second word.
                let sizes = info[1].to_ne_bytes();
                let size = |at: usize| -> Result<usize> {
                    let bytes = sizes[at..at + 4].try_into()?;
                    Ok(u32::from_ne_bytes(bytes).try_into()?)
                };
                return Ok(Self {
                    key_size: size(0)?,
                    value_size: size(4)?,
                    fd,
                });
            }
        }
        bail!("there is no eBPF map called {name}");
    }

    /// Puts an entry there, in the place of another if need be.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        ensure!(
            (key.len(), value.len()) == (self.key_size, self.value_size),
            "a key has {} bytes, a value {}",
            self.key_size,
            self.value_size
        );
        let (key, value) = (key.as_ptr() as u64, value.as_ptr() as u64);
        self.call(BPF_MAP_UPDATE_ELEM, key, value)
            .context("put an entry into an eBPF map")
    }

    /// All entries, each a key and a value.
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let mut key = vec![0; self.key_size];
            let from = last.as_ref().map_or(0, |last| last.as_ptr() as u64);
            match self.call(BPF_MAP_GET_NEXT_KEY, from, key.as_mut_ptr() as u64) {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(entries),
                Err(error) => return Err(error).context("list the keys of an eBPF map"),
            }
            let mut value = vec![0; self.value_size];
            let to = value.as_mut_ptr() as u64;
            match self.call(BPF_MAP_LOOKUP_ELEM, key.as_ptr() as u64, to) {
                Ok(()) => entries.push((key.clone(), value)),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {} // gone meanwhile
                Err(error) => return Err(error).context("read an entry of an eBPF map"),
            }
            last = Some(key);
        }
    }

    /// `key` and `value` are addresses of as many bytes as the map says, or 0.
    fn call(&self, command: libc::c_int, key: u64, value: u64) -> io::Result<()> {
        let mut attr = Element {
            map: u64::try_from(self.fd.as_raw_fd()).unwrap_or_default(),
            key,
            value,
            flags: 0,
        };
        // SAFETY: the attribute names buffers that are as large as the map's keys and values by
        // the callers' word, and outlive the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<Element>()) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The program or map with that number, if it is still there.
fn by_id(command: libc::c_int, id: u32) -> Option<OwnedFd> {
    let mut attr = NextId {
        start: id,
        ..NextId::default()
    };
    // SAFETY: the attribute is as large as the size says, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<NextId>()) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel just made this descriptor for us alone.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Fills in what the kernel says of a program or map.
fn ask(fd: &OwnedFd, info: &mut [u64]) -> io::Result<()> {
    let mut attr = InfoByFd {
        fd: u32::try_from(fd.as_raw_fd()).unwrap_or_default(),
        length: u32::try_from(size_of_val(info)).unwrap_or_default(),
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the attribute names a buffer as large as it says; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attr,
            size_of::<InfoByFd>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Words of `struct bpf_map_info` up to the end of `name`, and where that begins.
const MAP_INFO_WORDS: usize = MAP_NAME + 2;
const MAP_NAME: usize = 3;

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;
const BPF_MAP_GET_NEXT_ID: libc::c_int = 12;
const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;

/// The part of `union bpf_attr` that is about entries of a map.
#[repr(C)]
struct Element {
    map: u64,
    key: u64,
    value: u64,
    flags: u64,
}

/// Words of `struct bpf_prog_info` up to `recursion_misses` (Linux 5.12), its last here.
const INFO_WORDS: usize = RECURSION_MISSES + 1;
/// Offset of `recursion_misses`, in words.
const RECURSION_MISSES: usize = 208 / 8;

const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// The part of `union bpf_attr` that asks about an object.
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
const BPF_LINK_GET_NEXT_ID: libc::c_int = 31;

/// The part of `union bpf_attr` that the two commands use.
#[repr(C)]
#[derive(Default)]
struct NextId {
    start: u32,
    next: u32,
    open_flags: u32,
}

fn ids(command: libc::c_int) -> io::Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    let mut attr = NextId::default();
    loop {
        // SAFETY: the attribute is as large as the size says, and outlives the call.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size_of::<NextId>()) };
        if result < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ENOENT) {
                Ok(found)
            } else {
                Err(error)
            };
        }
        found.insert(attr.next);
        attr = NextId {
            start: attr.next,
            ..NextId::default()
        };
    }
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const RAW_TRACEPOINT: u32 = 17;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instructions: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

/// The part of `union bpf_attr` that attaches a program to a raw tracepoint.
#[repr(C)]
struct RawTracepoint {
    name: u64,
    program: u32,
    reserved: u32,
}

/// Loads a program that does nothing but say 0.
pub(crate) fn load_zero(program_type: u32, attach_type: u32) -> io::Result<OwnedFd> {
    // r0 = 0; exit
    load(program_type, attach_type, &[0xb7, 0x95])
}

/// Loads the program with these instructions.
pub(crate) fn load(program_type: u32, attach_type: u32, code: &[u64]) -> io::Result<OwnedFd> {
    make(
        BPF_PROG_LOAD,
        &mut Load {
            program_type,
            instructions: u32::try_from(code.len()).unwrap_or_default(),
            code: code.as_ptr() as u64,
            licence: c"MIT".as_ptr() as u64,
            attach_type,
            ..Load::default()
        },
    )
}

/// Programs at raw tracepoints that do nothing, for as long as this lives.
#[derive(Debug)]
pub struct Empty {
    _links: Vec<OwnedFd>,
}

impl Empty {
    /// Attaches one to each of these.
    pub fn attach(tracepoints: &[&CStr]) -> Result<Self> {
        let program = load_zero(RAW_TRACEPOINT, 0).context("load an empty program")?;
        let program = u32::try_from(program.as_raw_fd())?;
        let attach = |tracepoint: &&CStr| {
            let mut attr = RawTracepoint {
                name: tracepoint.as_ptr() as u64,
                program,
                reserved: 0,
            };
            make(BPF_RAW_TRACEPOINT_OPEN, &mut attr)
                .with_context(|| format!("attach an empty program to {tracepoint:?}"))
        };
        let links = tracepoints.iter().map(attach).collect::<Result<_>>()?;
        Ok(Self { _links: links })
    }
}

/// bpf() for commands that make a descriptor.
pub(crate) fn make<T>(command: libc::c_int, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the attribute is as large as the size says, and what it points at outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    match i32::try_from(fd) {
        // SAFETY: the kernel just made this descriptor for us alone.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
