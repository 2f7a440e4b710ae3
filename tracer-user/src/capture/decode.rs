//! From bytes of the ring buffer to records. Total: any bytes give a record or an
//! error; a number that should be a tag is checked by those who give it a meaning.

use std::ops::Deref;

use tracer_common::{
    Carried, Cgroup, Ended, Executed, Exited, Forked, Header, Kind, Listening, Message, Opened,
    Redirect,
};
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout};

/// A record of the kernel side, borrowed from the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Connect(&'a Opened),
    Accept(&'a Opened),
    Close(&'a Ended),
    Fail(&'a Ended),
    Listen(&'a Listening),
    Unlisten(&'a Listening),
    Existing(&'a Opened),
    Exec(&'a Executed),
    Exit(&'a Exited),
    Fork(&'a Forked),
    Cgroup(&'a Cgroup),
    Message(&'a Message),
    Redirect(&'a Redirect),
    Totals(&'a Carried),
}

impl Record<'_> {
    fn header(&self) -> &Header {
        match self {
            Self::Connect(it) | Self::Accept(it) | Self::Existing(it) => &it.header,
            Self::Close(it) | Self::Fail(it) => &it.header,
            Self::Listen(it) | Self::Unlisten(it) => &it.header,
            Self::Exec(it) => &it.header,
            Self::Exit(it) => &it.header,
            Self::Fork(it) => &it.header,
            Self::Cgroup(it) => &it.header,
            Self::Message(it) => &it.header,
            Self::Redirect(it) => &it.header,
            Self::Totals(it) => &it.header,
        }
    }

    /// Which kind it is.
    pub(super) fn kind(&self) -> Kind {
        self.header().kind
    }

    /// When it happened, nanoseconds since boot.
    pub(super) fn time_ns(&self) -> u64 {
        self.header().time_ns
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

/// Reads one record, aligned to eight bytes: as the kernel aligns it in the ring, and [`RecordBytes`] elsewhere.
pub(super) fn decode(bytes: &[u8]) -> Result<Record<'_>, Undecodable> {
    let kind = Header::ref_from_prefix(bytes).map(|(header, _)| header.kind);
    let record = kind.as_ref().ok().and_then(|kind| match *kind {
        Kind::CONNECT => see(bytes).map(Record::Connect),
        Kind::ACCEPT => see(bytes).map(Record::Accept),
        Kind::CLOSE => see(bytes).map(Record::Close),
        Kind::FAIL => see(bytes).map(Record::Fail),
        Kind::LISTEN => see(bytes).map(Record::Listen),
        Kind::UNLISTEN => see(bytes).map(Record::Unlisten),
        Kind::EXISTING => see(bytes).map(Record::Existing),
        Kind::EXEC => see(bytes).map(Record::Exec),
        Kind::EXIT => see(bytes).map(Record::Exit),
        Kind::FORK => see(bytes).map(Record::Fork),
        Kind::CGROUP => see(bytes).map(Record::Cgroup),
        Kind::MESSAGE => see(bytes).map(Record::Message),
        Kind::REDIRECT => see(bytes).map(Record::Redirect),
        Kind::TOTALS => see(bytes).map(Record::Totals),
        _ => None,
    });
    record.ok_or_else(|| Undecodable {
        kind: kind.ok().filter(|kind| (kind.0 as usize) < Kind::COUNT),
        len: bytes.len(),
    })
}

/// As what they are, if they are as many as that takes.
fn see<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8]) -> Option<&T> {
    T::ref_from_bytes(bytes).ok()
}

/// A copy of a record, to be read later.
pub(crate) struct RecordBytes {
    words: Box<[u64]>,
    len: usize,
}

impl From<&[u8]> for RecordBytes {
    fn from(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        };
        Self {
            words: bytes.chunks(8).map(word).collect(),
            len: bytes.len(),
        }
    }
}

impl Deref for RecordBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.words.as_bytes()[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that are all different, but for the kind.
    fn numbered<T>(kind: Kind) -> RecordBytes {
        let mut bytes: Vec<u8> = (0..size_of::<T>()).map(|at| at as u8).collect();
        bytes[8..12].copy_from_slice(&kind.0.to_ne_bytes());
        RecordBytes::from(&bytes[..])
    }

    /// What is read must be what the kernel side wrote: same bytes, same values as a plain copy of
    /// the structure.
    #[test]
    fn reads_the_layout_of_the_kernel_side() {
        macro_rules! check {
            ($($kind:ident $record:ident $type:ty,)*) => {$(
                let bytes = numbered::<$type>(Kind::$kind);
                let copy = <$type>::read_from_bytes(&bytes).expect("as many bytes as it has");
                assert_eq!(decode(&bytes), Ok(Record::$record(&copy)));
            )*};
        }
        check! {
            CONNECT Connect Opened,
            ACCEPT Accept Opened,
            CLOSE Close Ended,
            FAIL Fail Ended,
            LISTEN Listen Listening,
            UNLISTEN Unlisten Listening,
            EXISTING Existing Opened,
            EXEC Exec Executed,
            EXIT Exit Exited,
            FORK Fork Forked,
            CGROUP Cgroup Cgroup,
            MESSAGE Message Message,
            REDIRECT Redirect Redirect,
            TOTALS Totals Carried,
        }
        // In the order of the structure, as the kernel side has it.
        let bytes = numbered::<Ended>(Kind::CLOSE);
        let Ok(Record::Close(ended)) = decode(&bytes) else {
            panic!("an end");
        };
        assert_eq!(ended.header.time_ns.to_ne_bytes(), bytes[..8]);
        assert_eq!(ended.connection.begun_ns.to_ne_bytes(), bytes[16..24]);
        assert_eq!(ended.errno.to_ne_bytes(), bytes[184..188]);
    }

    #[test]
    fn what_is_kept_is_the_same() {
        for len in 0..40 {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(*RecordBytes::from(&bytes[..]), bytes[..]);
        }
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
                let bytes = RecordBytes::from(&bytes[..]);
                let decoded = decode(&bytes);
                let size = match Kind(kind) {
                    Kind::CONNECT | Kind::ACCEPT | Kind::EXISTING => size_of::<Opened>(),
                    Kind::EXEC => size_of::<Executed>(),
                    Kind::EXIT => size_of::<Exited>(),
                    Kind::CLOSE | Kind::FAIL => size_of::<Ended>(),
                    Kind::LISTEN | Kind::UNLISTEN => size_of::<Listening>(),
                    Kind::FORK => size_of::<Forked>(),
                    Kind::CGROUP => size_of::<Cgroup>(),
                    Kind::MESSAGE => size_of::<Message>(),
                    Kind::REDIRECT => size_of::<Redirect>(),
                    Kind::TOTALS => size_of::<Carried>(),
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
