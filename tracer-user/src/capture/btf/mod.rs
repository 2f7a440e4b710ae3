//! Reads type information of the running kernel (BTF).
//!
//! Answers two questions only: where a member of a structure is, and how many
//! parameters a function has. The libraries that could tell either build a whole tree
//! of types first (170 ms and 100 MB on a 5 MB BTF, where one pass takes a few) or
//! are not permissively licensed.
//!
//! Total: any bytes give an answer or an error, never a panic, and work is bounded.
//! Format: <https://docs.kernel.org/bpf/btf.html>.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod carve;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range};

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// How deep type modifiers, arrays of arrays and anonymous members are followed.
const MAX_DEPTH: u32 = 16;
/// How many members are looked at for one answer; the largest structures have hundreds.
const MAX_MEMBERS: u32 = 100_000;
/// What a structure is that has more.
const ENDLESS: BtfError = BtfError::Damaged("a structure has members without end");

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_FLOAT: u32 = 16;
const KIND_DECL_TAG: u32 = 17;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// The bytes are not BTF, or cut off.
    #[error("the kernel's type information is damaged: {0}")]
    Damaged(&'static str),
    /// A newer kernel describes types in a way this version does not know.
    #[error(
        "the kernel's type information has a kind ({0}) that this version of tracer does not know"
    )]
    UnknownKind(u32),
    /// There is no such structure or function.
    #[error("this kernel has no `{0}`")]
    NoType(String),
    /// The structure has no such member.
    #[error("this kernel's `{0}` has no member `{1}`")]
    NoMember(String, String),
    /// Several types of one name disagree.
    #[error("this kernel has several `{0}` that disagree on `{1}`")]
    Ambiguous(String, String),
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Bytes from the start of the structure.
    pub(super) offset: u32,
    /// Its size in bytes.
    pub(super) size: u32,
}

/// Type information, with an index of where each type starts.
pub(super) struct Btf {
    data: Vec<u8>,
    strings: Range<usize>,
    /// Where type `id` starts, at `id - 1`.
    types: Vec<u32>,
    /// Types by name, of the names that were looked for in advance.
    found: HashMap<String, Vec<u32>>,
}

#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    vlen: usize,
    kind_flag: bool,
    /// A size or a type id, as the kind has it.
    size_or_type: u32,
}

impl Btf {
    /// Reads `data`, in this machine's byte order, and finds where each type starts.
    ///
    /// # Errors
    /// [`BtfError::Damaged`] or [`BtfError::UnknownKind`].
    pub(super) fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let damaged = BtfError::Damaged;
        let magic = data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
        if magic != Some(MAGIC) {
            return Err(damaged("it does not begin with BTF's magic number"));
        }
        let header = |at| read_u32(&data, at).map(|value| value as usize);
        let (Some(header_len), Some(type_off), Some(type_len), Some(str_off), Some(str_len)) =
            (header(4), header(8), header(12), header(16), header(20))
        else {
            return Err(damaged("it ends within its header"));
        };
        if header_len < HEADER_LEN {
            return Err(damaged("its header is too short"));
        }
        let section = |offset: usize, len: usize| {
            let start = header_len.checked_add(offset)?;
            let end = start.checked_add(len)?;
            (end <= data.len()).then_some(start..end)
        };
        let Some(type_section) = section(type_off, type_len) else {
            return Err(damaged("its types reach past its end"));
        };
        let Some(strings) = section(str_off, str_len) else {
            return Err(damaged("its strings reach past its end"));
        };
        let mut btf = Self {
            data,
            strings,
            types: Vec::with_capacity(type_len / 24),
            found: HashMap::new(),
        };
        let mut at = type_section.start;
        while at < type_section.end {
            let kind = btf.type_at(at).ok_or(damaged("it ends within a type"))?;
            let len = 12 + kind.trailer_len().ok_or(BtfError::UnknownKind(kind.kind))?;
            btf.types
                .push(u32::try_from(at).map_err(|_| damaged("it is too large"))?);
            at += len;
        }
        if at != type_section.end {
            return Err(damaged("its last type is cut off"));
        }
        Ok(btf)
    }

    /// Where `path` (members joined by dots) is in the structure called `structure`.
    /// Members of anonymous structures and unions count as members.
    ///
    /// # Errors
    /// [`BtfError::NoType`], [`BtfError::NoMember`]; [`BtfError::Ambiguous`] if
    /// structures of that name differ in their answer.
    pub(super) fn member(&self, structure: &str, path: &str) -> Result<Member, BtfError> {
        let mut found = None;
        let mut seen = false;
        let mut budget = MAX_MEMBERS;
        for candidate in self.named(structure, KIND_STRUCT) {
            seen = true;
            let member = self.resolve(candidate, path, &mut budget);
            if budget == 0 {
                return Err(ENDLESS);
            }
            match (found, member) {
                (_, None) => {}
                (None, Some(_)) => found = member,
                (Some(first), Some(second)) if first == second => {}
                (Some(_), Some(_)) => {
                    return Err(BtfError::Ambiguous(structure.to_owned(), path.to_owned()));
                }
            }
        }
        if !seen {
            return Err(BtfError::NoType(format!("struct {structure}")));
        }
        found.ok_or_else(|| BtfError::NoMember(format!("struct {structure}"), path.to_owned()))
    }

    /// How many parameters the function called `name` has.
    ///
    /// # Errors
    /// [`BtfError::NoType`]; [`BtfError::Ambiguous`] if functions of that name differ.
    pub(super) fn parameters(&self, name: &str) -> Result<usize, BtfError> {
        let mut found = None;
        for function in self.named(name, KIND_FUNC) {
            let Some(prototype) = self
                .by_id(function.size_or_type)
                .filter(|t| t.kind == KIND_FUNC_PROTO)
            else {
                continue;
            };
            if found.is_some_and(|vlen| vlen != prototype.vlen) {
                return Err(BtfError::Ambiguous(
                    name.to_owned(),
                    "parameters".to_owned(),
                ));
            }
            found = Some(prototype.vlen);
        }
        found.ok_or_else(|| BtfError::NoType(format!("{name}()")))
    }

    /// Whether there is a structure or a variable called `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.named(name, KIND_STRUCT).next().is_some()
            || self.named(name, KIND_VAR).next().is_some()
    }

    /// How many parameters the function has that the type called `name` points to.
    ///
    /// # Errors
    /// [`BtfError::NoType`].
    pub(super) fn typedef_parameters(&self, name: &str) -> Result<usize, BtfError> {
        let pointed = |of: Type| self.by_id(of.size_or_type);
        self.named(name, KIND_TYPEDEF)
            .find_map(|typedef| {
                let pointer = pointed(typedef).filter(|t| t.kind == KIND_PTR)?;
                let prototype = pointed(pointer).filter(|t| t.kind == KIND_FUNC_PROTO)?;
                Some(prototype.vlen)
            })
            .ok_or_else(|| BtfError::NoType(name.to_owned()))
    }

    /// Type information with these functions and tracepoints alone, under the ids that they have
    /// here: every other type is an empty declaration. Reading all of it, as libraries do that
    /// only want an id, takes a third of a start.
    pub(super) fn of_attachments(&self, names: &[&str]) -> Vec<u8> {
        const DECLARATION: u32 = 7 << 24;
        let mut strings = vec![0];
        let mut kept: HashMap<usize, (u32, u32)> = HashMap::new();
        for name in names {
            for kind in [KIND_FUNC, KIND_TYPEDEF] {
                for found in self.named(name, kind) {
                    kept.insert(found.at, (strings.len() as u32, kind << 24));
                }
            }
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let mut types = Vec::with_capacity(self.types.len() * 12);
        for at in &self.types {
            let (name, info) = match kept.get(&(*at as usize)) {
                Some(found) => *found,
                None => (0, DECLARATION),
            };
            for word in [name, info, 0] {
                types.extend_from_slice(&word.to_ne_bytes());
            }
        }
        let mut data = Vec::with_capacity(HEADER_LEN + types.len() + strings.len());
        data.extend_from_slice(&MAGIC.to_ne_bytes());
        data.extend_from_slice(&[1, 0]); // version, flags
        let header = [HEADER_LEN, 0, types.len(), types.len(), strings.len()];
        for word in header {
            data.extend_from_slice(&(word as u32).to_ne_bytes());
        }
        data.extend_from_slice(&types);
        data.extend_from_slice(&strings);
        data
    }

    /// Looks for all `names` in one pass, so that what is asked of them needs none.
    pub(super) fn look_for<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut found: HashMap<String, Vec<u32>> =
            names.map(|name| (name.to_owned(), Vec::new())).collect();
        let longest = found.keys().map(String::len).max().unwrap_or_default();
        let mut begins = [false; 256];
        for name in found.keys() {
            if let Some(first) = name.bytes().next() {
                begins[usize::from(first)] = true;
            }
        }
        for at in &self.types {
            // Few names begin like one of these: the rest need not be measured.
            let name = self.type_at(*at as usize).map(|found| found.name);
            let first = name.and_then(|name| self.data.get(self.strings.start + name as usize));
            if first.is_some_and(|first| begins[usize::from(*first)])
                && let Some(name) = name.and_then(|name| self.name(name, longest))
                && let Ok(name) = str::from_utf8(name)
                && let Some(types) = found.get_mut(name)
            {
                types.push(*at);
            }
        }
        self.found = found;
    }

    fn named<'a>(&'a self, name: &'a str, kind: u32) -> impl Iterator<Item = Type> + 'a {
        let types = self.found.get(name).unwrap_or(&self.types);
        types
            .iter()
            .filter_map(|at| self.type_at(*at as usize))
            .filter(move |found| found.kind == kind && self.is_called(found.name, name))
    }

    /// The name at `offset`, if it is no longer than `longest`: many types may share a name,
    /// and one that is too long to be looked for is not worth measuring each time.
    fn name(&self, offset: u32, longest: usize) -> Option<&[u8]> {
        let strings = self.data.get(self.strings.clone())?;
        let rest = strings.get(offset as usize..)?;
        let rest = rest.get(..=longest).unwrap_or(rest);
        let end = rest.iter().position(|byte| *byte == 0)?;
        rest.get(..end)
    }

    fn resolve(&self, structure: Type, path: &str, budget: &mut u32) -> Option<Member> {
        let mut within = structure;
        let mut offset = 0u32;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let (bits, id) = self.find_member(within, part, budget, 0)?;
            offset = offset.checked_add(bits / 8)?;
            if parts.peek().is_none() {
                let size = self.size_of(id, 0)?;
                return Some(Member { offset, size });
            }
            within = self.unmodified(id)?;
        }
        None
    }

    /// Bit offset and type of the member called `name`; none if it is a bit field.
    fn find_member(
        &self,
        within: Type,
        name: &str,
        budget: &mut u32,
        depth: u32,
    ) -> Option<(u32, u32)> {
        if !matches!(within.kind, KIND_STRUCT | KIND_UNION) || depth > MAX_DEPTH {
            return None;
        }
        for index in 0..within.vlen {
            *budget = budget.checked_sub(1)?;
            let at = within.at + 12 + 12 * index;
            let member_name = read_u32(&self.data, at)?;
            let id = read_u32(&self.data, at + 4)?;
            let mut bits = read_u32(&self.data, at + 8)?;
            let mut bit_field = false;
            if within.kind_flag {
                bit_field = bits >> 24 != 0;
                bits &= 0x00ff_ffff;
            }
            if self.is_called(member_name, name) {
                return (!bit_field && bits % 8 == 0).then_some((bits, id));
            }
            if self.is_called(member_name, "")
                && let Some(inner) = self.unmodified(id)
                && let Some((inner_bits, id)) = self.find_member(inner, name, budget, depth + 1)
            {
                return Some((bits.checked_add(inner_bits)?, id));
            }
        }
        None
    }

    fn size_of(&self, id: u32, depth: u32) -> Option<u32> {
        if depth > MAX_DEPTH {
            return None;
        }
        let found = self.unmodified(id)?;
        match found.kind {
            KIND_INT | KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 | KIND_FLOAT => {
                Some(found.size_or_type)
            }
            KIND_PTR => Some(8),
            KIND_ARRAY => {
                let element = read_u32(&self.data, found.at + 12)?;
                let count = read_u32(&self.data, found.at + 20)?;
                self.size_of(element, depth + 1)?.checked_mul(count)
            }
            _ => None,
        }
    }

    /// The type `id` without its typedefs and qualifiers.
    fn unmodified(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let found = self.by_id(id)?;
            match found.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Some(found),
            }
        }
        None
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let at = self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
        self.type_at(*at as usize)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = read_u32(&self.data, at + 4)?;
        Some(Type {
            at,
            name: read_u32(&self.data, at)?,
            kind: (info >> 24) & 0x1f,
            vlen: (info & 0xffff) as usize,
            kind_flag: info >> 31 == 1,
            size_or_type: read_u32(&self.data, at + 8)?,
        })
    }

    fn is_called(&self, name_offset: u32, name: &str) -> bool {
        let Some(strings) = self.data.get(self.strings.clone()) else {
            return false;
        };
        strings
            .get(name_offset as usize..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl Type {
    /// Bytes that follow the common twelve; none for a kind that is not known.
    fn trailer_len(self) -> Option<usize> {
        match self.kind {
            KIND_INT | KIND_VAR | KIND_DECL_TAG => Some(4),
            KIND_ARRAY => Some(12),
            KIND_STRUCT | KIND_UNION | KIND_DATASEC | KIND_ENUM64 => Some(12 * self.vlen),
            KIND_ENUM | KIND_FUNC_PROTO => Some(8 * self.vlen),
            // 7 is a forward declaration.
            KIND_PTR | 7 | KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT
            | KIND_FUNC | KIND_FLOAT | KIND_TYPE_TAG => Some(0),
            _ => None,
        }
    }
}

fn read_u32(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}
