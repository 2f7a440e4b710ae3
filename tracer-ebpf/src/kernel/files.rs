//! The open files of a task, without a reference to any. Whoever holds one while its process closes it
//! is the one who closes it in the end, at a later time: the kernel's iterator over files does, and
//! puts off what it held until its reader returns.

use super::{Sock, offset, read, sock::of_file, task};

/// The table of the open files of a task.
pub(crate) struct Files {
    task: u64,
    /// Address of the array of addresses of `struct file`.
    open: u64,
    /// How many places it has.
    size: u64,
}

impl Files {
    /// That of `task`; none if it has none of its own, but that of its process or the kernel's.
    #[inline(always)]
    pub(crate) fn of(task: u64) -> Option<Self> {
        let leader: u64 = read(task, offset!(task_group_leader));
        let files: u64 = read(task, offset!(task_files));
        let is_shared = leader != task && read::<u64>(leader, offset!(task_files)) == files;
        if files == 0 || is_shared || task::is_kernels(task) {
            return None;
        }
        let table: u64 = read(files, offset!(files_table));
        Some(Self {
            task,
            open: read(table, offset!(table_files)),
            size: read::<u32>(table, offset!(table_size)).into(),
        })
    }

    /// How many descriptors there may be, from 0 on.
    #[inline(always)]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What `descriptor` stands for now.
    #[inline(always)]
    pub(crate) fn at(&self, descriptor: u64) -> Held {
        Held {
            task: self.task,
            descriptor,
            file: read(self.open + 8 * descriptor, 0),
        }
    }
}

/// An open file of a task, which may be closed at any time.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) task: u64,
    descriptor: u64,
    /// Address of its `struct file`; 0 if the descriptor stands for none.
    file: u64,
}

impl Held {
    /// The TCP socket that it is, if it is one.
    #[inline(always)]
    pub(crate) fn sock(&self) -> Option<Sock> {
        if self.file == 0 {
            return None;
        }
        of_file(self.file)
    }

    /// Whether it is open still: what was read of it until now is true then, and may be of another file
    /// or of none if not.
    #[inline(always)]
    pub(crate) fn is_open(&self) -> bool {
        let files: u64 = read(self.task, offset!(task_files));
        let table: u64 = read(files, offset!(files_table));
        let open: u64 = read(table, offset!(table_files));
        read::<u64>(open + 8 * self.descriptor, 0) == self.file
    }
}
