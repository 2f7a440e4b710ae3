//! Cuts the type information of a whole kernel down to what is asked of it: a thousandth
//! of its size, and the same answers. So it can be damaged in every way in little time.

use std::collections::{BTreeSet, HashMap};

use super::{
    Btf, HEADER_LEN, KIND_ARRAY, KIND_ENUM, KIND_ENUM64, KIND_FUNC, KIND_FUNC_PROTO, KIND_PTR,
    KIND_STRUCT, KIND_TYPEDEF, KIND_UNION, MAGIC, Type, read_u32,
};

impl Btf {
    /// The types called one of `names`, with those of their members that are called one of
    /// `members` or nothing, and the types of these in turn.
    pub(in crate::capture) fn carve(
        &self,
        names: &BTreeSet<&str>,
        members: &BTreeSet<&str>,
    ) -> Vec<u8> {
        let is_in = |set: &BTreeSet<&str>, offset| {
            let name = self
                .name(offset, usize::MAX)
                .and_then(|name| str::from_utf8(name).ok());
            name.is_some_and(|name| set.contains(name))
        };
        let mut kept: Vec<u32> = (1..)
            .zip(&self.types)
            .filter_map(|(id, at)| Some((id, self.type_at(*at as usize)?)))
            .filter(|(_, found)| matches!(found.kind, KIND_STRUCT | KIND_FUNC | KIND_TYPEDEF))
            .filter(|(_, found)| is_in(names, found.name))
            .map(|(id, _)| id)
            .collect();
        let mut ids: HashMap<u32, u32> = kept.iter().copied().zip(1..).collect();
        let (mut types, mut strings) = (Vec::new(), Strings::default());
        let mut next = 0;
        while let Some(found) = kept.get(next).copied().and_then(|id| self.by_id(id)) {
            next += 1;
            let mut keep = |id: u32| {
                if id == 0 {
                    return 0;
                }
                *ids.entry(id).or_insert_with(|| {
                    kept.push(id);
                    kept.len() as u32
                })
            };
            let mut name = |offset| strings.add(self.name(offset, usize::MAX).unwrap_or_default());
            let words = self.trailer(found);
            let mut size_or_type = found.size_or_type;
            let mut trailer = Vec::new();
            let mut vlen = 0;
            match found.kind {
                KIND_STRUCT | KIND_UNION => {
                    for member in words.chunks_exact(3) {
                        if is_in(members, member[0]) || self.is_called(member[0], "") {
                            trailer.extend([name(member[0]), keep(member[1]), member[2]]);
                            vlen += 1;
                        }
                    }
                }
                KIND_ARRAY => trailer.extend([keep(words[0]), keep(words[1]), words[2]]),
                // Nobody asks for their values.
                KIND_ENUM | KIND_ENUM64 => {}
                // Nor for types of parameters.
                KIND_FUNC_PROTO => {
                    vlen = found.vlen;
                    size_or_type = 0;
                    trailer.resize(2 * vlen, 0);
                }
                // Nor where a pointer points, but for those to functions.
                KIND_PTR => {
                    let to = self.by_id(size_or_type);
                    let is_function = to.is_some_and(|to| to.kind == KIND_FUNC_PROTO);
                    size_or_type = if is_function { keep(size_or_type) } else { 0 };
                }
                _ if words.is_empty() && !has_size(found) => size_or_type = keep(size_or_type),
                _ => trailer = words,
            }
            let info = u32::from(found.kind_flag) << 31 | found.kind << 24 | vlen as u32;
            types.extend([name(found.name), info, size_or_type]);
            types.extend(trailer);
        }
        let mut out = MAGIC.to_ne_bytes().to_vec();
        out.extend([1, 0]);
        let (types_len, strings_len) = (4 * types.len() as u32, strings.bytes.len() as u32);
        let header = [HEADER_LEN as u32, 0, types_len, types_len, strings_len];
        for word in header.into_iter().chain(types) {
            out.extend(word.to_ne_bytes());
        }
        out.extend(strings.bytes);
        out
    }

    fn trailer(&self, of: Type) -> Vec<u32> {
        let len = of.trailer_len().unwrap_or_default();
        (0..len / 4)
            .filter_map(|word| read_u32(&self.data, of.at + 12 + 4 * word))
            .collect()
    }
}

/// Whether `size_or_type` is a size, or nothing; asked of kinds that nothing follows.
fn has_size(of: Type) -> bool {
    matches!(of.kind, super::KIND_FLOAT | 7)
}

/// The table of names.
struct Strings {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
}

impl Default for Strings {
    fn default() -> Self {
        Self {
            bytes: vec![0],
            known: HashMap::from([(Vec::new(), 0)]),
        }
    }
}

impl Strings {
    fn add(&mut self, name: &[u8]) -> u32 {
        *self.known.entry(name.to_vec()).or_insert_with(|| {
            let at = self.bytes.len() as u32;
            self.bytes.extend_from_slice(name);
            self.bytes.push(0);
            at
        })
    }
}
