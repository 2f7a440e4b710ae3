//! From bytes of the ring buffer to records. Total: any bytes give a record or an
//! error; a number that should be a tag is checked by those who give it a meaning.

use tracer_common::{
    ARGS_LEN, CGROUP_PATH_LEN, Cgroup, Connection, Direction, Ended, Executed, Exited, Flow,
    Header, Kind, Listening, MESSAGE_LEN, Message, Opened, PATH_LEN, Process, Redirect, Source,
    Totals,
};

/// A record of the kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Connect(Opened),
    Accept(Opened),
    Close(Ended),
    Fail(Ended),
    Listen(Listening),
    Unlisten(Listening),
    Existing(Opened),
    // Twenty times as large as the others, and rare.
    Exec(Box<Executed>),
    Exit(Exited),
    Cgroup(Box<Cgroup>),
    Message(Box<Message>),
    Redirect(Redirect),
}

impl Record {
    /// Which kind it is.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::CONNECT,
            Self::Accept(_) => Kind::ACCEPT,
            Self::Close(_) => Kind::CLOSE,
            Self::Fail(_) => Kind::FAIL,
            Self::Listen(_) => Kind::LISTEN,
            Self::Unlisten(_) => Kind::UNLISTEN,
            Self::Existing(_) => Kind::EXISTING,
            Self::Exec(_) => Kind::EXEC,
            Self::Exit(_) => Kind::EXIT,
            Self::Cgroup(_) => Kind::CGROUP,
            Self::Message(_) => Kind::MESSAGE,
            Self::Redirect(_) => Kind::REDIRECT,
        }
    }
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable {
    /// The kind they claim, if it is one.
    pub(super) kind: Option<Kind>,
    /// How many they are.
    pub(super) len: usize,
}

/// Reads one record.
pub(super) fn decode(bytes: &[u8]) -> Result<Record, Undecodable> {
    let mut cursor = Cursor(bytes);
    let record = cursor.header().and_then(|header| match header.kind {
        Kind::CONNECT => Some(Record::Connect(cursor.opened(header)?)),
        Kind::ACCEPT => Some(Record::Accept(cursor.opened(header)?)),
        Kind::CLOSE => Some(Record::Close(cursor.ended(header)?)),
        Kind::FAIL => Some(Record::Fail(cursor.ended(header)?)),
        Kind::LISTEN => Some(Record::Listen(cursor.listening(header)?)),
        Kind::UNLISTEN => Some(Record::Unlisten(cursor.listening(header)?)),
        Kind::EXISTING => Some(Record::Existing(cursor.opened(header)?)),
        Kind::EXEC => Some(Record::Exec(Box::new(cursor.executed(header)?))),
        Kind::EXIT => Some(Record::Exit(cursor.exited(header)?)),
        Kind::CGROUP => Some(Record::Cgroup(Box::new(cursor.cgroup(header)?))),
        Kind::MESSAGE => Some(Record::Message(Box::new(cursor.message(header)?))),
        Kind::REDIRECT => Some(Record::Redirect(cursor.redirect(header)?)),
        _ => None,
    });
    match record {
        Some(record) if cursor.0.is_empty() => Ok(record),
        _ => Err(Undecodable {
            kind: Cursor(bytes)
                .header()
                .map(|header| header.kind)
                .filter(|kind| (kind.0 as usize) < Kind::COUNT),
            len: bytes.len(),
        }),
    }
}

/// Reads fields in the order of the structures in `tracer-common`.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_ne_bytes)
    }

    fn header(&mut self) -> Option<Header> {
        Some(Header {
            time_ns: self.u64()?,
            kind: Kind(self.u32()?),
            reserved: self.u32()?,
        })
    }

    fn process(&mut self) -> Option<Process> {
        Some(Process {
            start_ns: self.u64()?,
            cgroup: self.u64()?,
            tgid: self.u32()?,
            tid: self.u32()?,
            uid: self.u32()?,
            source: Source(self.u32()?),
            comm: self.bytes()?,
        })
    }

    fn flow(&mut self) -> Option<Flow> {
        Some(Flow {
            local_address: self.bytes()?,
            remote_address: self.bytes()?,
            local_port: self.u16()?,
            remote_port: self.u16()?,
            family: self.u16()?,
            reserved: self.u16()?,
            netns: self.u32()?,
            reserved2: self.u32()?,
        })
    }

    fn connection(&mut self) -> Option<Connection> {
        Some(Connection {
            begun_ns: self.u64()?,
            established_ns: self.u64()?,
            ended_ns: self.u64()?,
            flow: self.flow()?,
            process: self.process()?,
            direction: Direction(self.u8()?),
            flags: self.u8()?,
            last_state: self.u8()?,
            reported: self.u8()?,
            ended: self.u8()?,
            failed: self.u8()?,
            failed_errno: self.u16()?,
            handshake: self.u64()?,
        })
    }

    fn opened(&mut self, header: Header) -> Option<Opened> {
        Some(Opened {
            header,
            connection: self.connection()?,
        })
    }

    fn ended(&mut self, header: Header) -> Option<Ended> {
        Some(Ended {
            header,
            connection: self.connection()?,
            totals: Totals {
                sent_bytes: self.u64()?,
                received_bytes: self.u64()?,
                srtt_us: self.u32()?,
                retransmits: self.u32()?,
            },
            errno: self.u32()?,
            sequence: self.u32()?,
        })
    }

    fn executed(&mut self, header: Header) -> Option<Executed> {
        Some(Executed {
            header,
            process: self.process()?,
            parent: self.u32()?,
            args_bytes: self.u32()?,
            path: self.bytes::<PATH_LEN>()?,
            args: self.bytes::<ARGS_LEN>()?,
        })
    }

    fn exited(&mut self, header: Header) -> Option<Exited> {
        Some(Exited {
            header,
            process: self.process()?,
            status: self.u32()?,
            reserved: self.u32()?,
        })
    }

    fn cgroup(&mut self, header: Header) -> Option<Cgroup> {
        Some(Cgroup {
            header,
            id: self.u64()?,
            hierarchy: self.u32()?,
            reserved: self.u32()?,
            path: self.bytes::<CGROUP_PATH_LEN>()?,
        })
    }

    fn message(&mut self, header: Header) -> Option<Message> {
        Some(Message {
            header,
            process: self.process()?,
            flow: self.flow()?,
            sock: self.u64()?,
            sent: self.u8()?,
            stream: self.u8()?,
            reserved: self.u16()?,
            length: self.u32()?,
            bytes: self.bytes::<MESSAGE_LEN>()?,
        })
    }

    fn redirect(&mut self, header: Header) -> Option<Redirect> {
        Some(Redirect {
            header,
            flow: self.flow()?,
            dialled_address: self.bytes()?,
            dialled_port: self.u16()?,
            dialled_family: self.u16()?,
            reserved: self.u32()?,
        })
    }

    fn listening(&mut self, header: Header) -> Option<Listening> {
        Some(Listening {
            header,
            flow: self.flow()?,
            process: self.process()?,
            backlog: self.u32()?,
            reserved: self.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered<const N: usize>(kind: Kind) -> [u8; N] {
        let mut bytes = std::array::from_fn(|at| at as u8);
        bytes[8..12].copy_from_slice(&kind.0.to_ne_bytes());
        bytes
    }

    /// The cursor must read what the kernel side wrote: same bytes, same values as a
    /// plain copy of the structure.
    #[test]
    fn reads_the_layout_of_the_kernel_side() {
        let bytes: [u8; size_of::<Ended>()] = numbered(Kind::CLOSE);
        // SAFETY: `Ended` is `repr(C)` of integers only, valid for any bits.
        let ended: Ended = unsafe { bytes.as_ptr().cast::<Ended>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Close(ended)));

        let bytes: [u8; size_of::<Opened>()] = numbered(Kind::ACCEPT);
        // SAFETY: as above.
        let opened: Opened = unsafe { bytes.as_ptr().cast::<Opened>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Accept(opened)));

        let bytes: [u8; size_of::<Executed>()] = numbered(Kind::EXEC);
        // SAFETY: as above.
        let executed: Executed = unsafe { bytes.as_ptr().cast::<Executed>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Exec(Box::new(executed))));

        let bytes: [u8; size_of::<Exited>()] = numbered(Kind::EXIT);
        // SAFETY: as above.
        let exited: Exited = unsafe { bytes.as_ptr().cast::<Exited>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Exit(exited)));

        let bytes: [u8; size_of::<Cgroup>()] = numbered(Kind::CGROUP);
        // SAFETY: as above.
        let cgroup: Cgroup = unsafe { bytes.as_ptr().cast::<Cgroup>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Cgroup(Box::new(cgroup))));

        let bytes: [u8; size_of::<Message>()] = numbered(Kind::MESSAGE);
        // SAFETY: as above.
        let message: Message = unsafe { bytes.as_ptr().cast::<Message>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Message(Box::new(message))));

        let bytes: [u8; size_of::<Redirect>()] = numbered(Kind::REDIRECT);
        // SAFETY: as above.
        let redirect: Redirect = unsafe { bytes.as_ptr().cast::<Redirect>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Redirect(redirect)));

        let bytes: [u8; size_of::<Listening>()] = numbered(Kind::LISTEN);
        // SAFETY: as above.
        let listening: Listening = unsafe { bytes.as_ptr().cast::<Listening>().read_unaligned() };
        assert_eq!(decode(&bytes), Ok(Record::Listen(listening)));
    }

    #[test]
    fn any_length_and_any_kind_give_an_answer() {
        let large = [
            size_of::<Executed>(),
            size_of::<Cgroup>(),
            size_of::<Message>(),
        ];
        for len in (0..256).chain(large.into_iter().flat_map(|size| [size - 1, size])) {
            for kind in (0..=u32::from(u8::MAX)).chain([u32::MAX]) {
                let mut bytes = vec![0xa5; len];
                if let Some(word) = bytes.get_mut(8..12) {
                    word.copy_from_slice(&kind.to_ne_bytes());
                }
                let decoded = decode(&bytes);
                let size = match Kind(kind) {
                    Kind::CONNECT | Kind::ACCEPT | Kind::EXISTING => size_of::<Opened>(),
                    Kind::EXEC => size_of::<Executed>(),
                    Kind::EXIT => size_of::<Exited>(),
                    Kind::CLOSE | Kind::FAIL => size_of::<Ended>(),
                    Kind::LISTEN | Kind::UNLISTEN => size_of::<Listening>(),
                    Kind::CGROUP => size_of::<Cgroup>(),
                    Kind::MESSAGE => size_of::<Message>(),
                    Kind::REDIRECT => size_of::<Redirect>(),
                    _ => usize::MAX,
                };
                assert_eq!(decoded.is_ok(), len == size, "kind {kind}, {len} bytes");
                if let Err(undecodable) = decoded {
                    assert_eq!(undecodable.len, len);
                    assert_eq!(
                        undecodable.kind.is_some(),
                        len >= 16 && (kind as usize) < Kind::COUNT
                    );
                }
            }
        }
    }
}
