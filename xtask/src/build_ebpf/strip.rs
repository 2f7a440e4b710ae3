//! Takes the debugger's sections (DWARF) out of an eBPF object. The linker writes
//! them along with the BTF that the kernel reads; nobody reads them here, and they
//! are most of the file.

use anyhow::{Context as _, Result, ensure};

const HEADER: usize = 64;
const SECTION: usize = 64;
/// The type of a section that has a size but nothing in the file.
const NOBITS: u64 = 8;

/// A little-endian 64-bit object without what is in its `.debug_*` sections and their relocations.
///
/// The sections stay, empty, so that no index in the file has to change.
pub(super) fn debug_sections(object: &[u8]) -> Result<Vec<u8>> {
    ensure!(
        object.starts_with(b"\x7fELF\x02\x01"),
        "read the object: it is no little-endian 64-bit ELF file"
    );
    let table = usize::try_from(number::<8>(object, 40)?)?;
    let count = usize::try_from(number::<2>(object, 60)?)?;
    let names_section = usize::try_from(number::<2>(object, 62)?)?;
    let mut sections = bytes(object, table, count * SECTION)?.to_vec();
    let names = contents(object, bytes(&sections, names_section * SECTION, SECTION)?)?;

    let mut out = bytes(object, 0, HEADER)?.to_vec();
    for section in sections.chunks_exact_mut(SECTION) {
        let name = usize::try_from(number::<4>(section, 0)?)?;
        let name = names.get(name..).context("read a section's name")?;
        let is_debug = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
        let is_empty = number::<4>(section, 4)? == NOBITS;
        let data = if is_debug || is_empty {
            &[]
        } else {
            contents(object, section)?
        };
        let alignment = usize::try_from(number::<8>(section, 48)?)?.max(1);
        out.resize(out.len().next_multiple_of(alignment), 0);
        section[24..32].copy_from_slice(&(out.len() as u64).to_le_bytes());
        if !is_empty {
            section[32..40].copy_from_slice(&(data.len() as u64).to_le_bytes());
        }
        out.extend(data);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let table = out.len() as u64;
    out[40..48].copy_from_slice(&table.to_le_bytes());
    out.extend(sections);
    Ok(out)
}

/// What the section with this entry in the table holds.
fn contents<'a>(object: &'a [u8], section: &[u8]) -> Result<&'a [u8]> {
    let offset = usize::try_from(number::<8>(section, 24)?)?;
    let size = usize::try_from(number::<8>(section, 32)?)?;
    bytes(object, offset, size)
}

fn bytes(from: &[u8], offset: usize, size: usize) -> Result<&[u8]> {
    offset
        .checked_add(size)
        .and_then(|end| from.get(offset..end))
        .context("read the object: it is cut short")
}

/// The number in the `SIZE` bytes at `offset`.
fn number<const SIZE: usize>(from: &[u8], offset: usize) -> Result<u64> {
    let mut number = [0; 8];
    number[..SIZE].copy_from_slice(bytes(from, offset, SIZE)?);
    Ok(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object with these sections, the last of which is the one of the names.
    fn object(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut names = Vec::new();
        let mut out = vec![0; HEADER];
        let mut table = Vec::new();
        let mut add = |name: usize, data: &[u8]| {
            let mut section = [0; SECTION];
            section[..4].copy_from_slice(&(name as u32).to_le_bytes());
            section[24..32].copy_from_slice(&(out.len() as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(data.len() as u64).to_le_bytes());
            out.extend(data);
            table.extend(section);
        };
        for (name, data) in sections {
            add(names.len(), data);
            names.extend(name.bytes().chain([0]));
        }
        add(names.len(), &[names.as_slice(), b".strtab\0"].concat());
        out[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let count = sections.len() as u16;
        let offset = out.len() as u64;
        out[40..48].copy_from_slice(&offset.to_le_bytes());
        out[60..62].copy_from_slice(&(count + 1).to_le_bytes());
        out[62..64].copy_from_slice(&count.to_le_bytes());
        out.extend(table);
        out
    }

    fn section(object: &[u8], index: usize) -> &[u8] {
        let table = number::<8>(object, 40).expect("a header") as usize;
        let entry = bytes(object, table + index * SECTION, SECTION).expect("an entry");
        contents(object, entry).expect("a section")
    }

    #[test]
    fn only_debug_sections_are_emptied() {
        let object = object(&[
            (".text", b"code"),
            (".debug_info", b"types"),
            (".rel.debug_info", b"relocations"),
            (".BTF", b"kernel"),
        ]);
        let stripped = debug_sections(&object).expect("an object");
        let sections: Vec<_> = (0..4).map(|index| section(&stripped, index)).collect();
        assert_eq!(sections, [b"code" as &[u8], b"", b"", b"kernel"]);
        assert_eq!(section(&stripped, 4), section(&object, 4));
        assert!(stripped.len() < object.len());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let object = object(&[(".text", b"code")]);
        assert!(debug_sections(b"").is_err());
        for cut in [7, HEADER, object.len() - 1] {
            assert!(debug_sections(&object[..cut]).is_err(), "{cut}");
        }
    }
}
