//! One tar header as Go's `archive/tar` writes it when no format is asked for: USTAR where that can say everything,
//! else a PAX record before it. The reference lifecycle writes its layers with that package; the bytes decide diffIDs.
//!
//! By hand, because tar libraries choose GNU's extensions and other paddings, and these bytes are a contract.

use super::Owner;
use std::collections::BTreeMap;

const BLOCK_BYTES: usize = 512;
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// 1980-01-01T00:00:01Z: the time of every entry in a layer that a lifecycle writes (CNB platform specification,
/// "exporter": reproducible images).
pub(crate) const LAYER_TIME_SECONDS: u64 = 315_532_801;
/// Largest numbers of the octal fields with 7 and 11 digits.
const MAX_ID: u64 = 0o7_777_777;
const MAX_SIZE_BYTES: u64 = 0o77_777_777_777;

pub(super) struct Header<'a> {
    pub name: &'a [u8],
    /// The type flag: `0` file, `2` symbolic link, `5` directory, `6` pipe.
    pub kind: u8,
    pub link: &'a [u8],
    pub mode: u32,
    pub owner: Owner,
    pub size_bytes: u64,
}

impl Header<'_> {
    /// One block, or with a PAX record three or more.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (user_id, group_id) = (u64::from(self.owner.user_id), u64::from(self.owner.group_id));
        let mut records = BTreeMap::new();
        let mut ustar = true;
        let split = split_name(self.name);
        if !is_plain(self.name) || self.name.len() > NAME_BYTES {
            ustar &= split.is_some();
            records.insert("path", self.name.to_vec());
        }
        if !is_plain(self.link) || self.link.len() > NAME_BYTES {
            ustar = false;
            records.insert("linkpath", self.link.to_vec());
        }
        for (key, number, max) in
            [("uid", user_id, MAX_ID), ("gid", group_id, MAX_ID), ("size", self.size_bytes, MAX_SIZE_BYTES)]
        {
            if number > max {
                ustar = false;
                records.insert(key, number.to_string().into_bytes());
            }
        }
        if ustar {
            let (prefix, name) = split.unwrap_or((b"", self.name));
            return self.block(name, self.link, prefix, user_id, group_id).to_vec();
        }
        let mut bytes = extended(self.name, &records);
        bytes.extend(self.block(&plain(self.name), &plain(self.link), b"", user_id, group_id));
        bytes
    }

    fn block(
        &self,
        name: &[u8],
        link: &[u8],
        prefix: &[u8],
        user_id: u64,
        group_id: u64,
    ) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        put(&mut block[..NAME_BYTES], name);
        octal(&mut block[100..108], u64::from(self.mode));
        // Numbers that do not fit stand in the PAX record, and zero stands here.
        octal(&mut block[108..116], if user_id > MAX_ID { 0 } else { user_id });
        octal(&mut block[116..124], if group_id > MAX_ID { 0 } else { group_id });
        octal(&mut block[124..136], if self.size_bytes > MAX_SIZE_BYTES { 0 } else { self.size_bytes });
        octal(&mut block[136..148], LAYER_TIME_SECONDS);
        block[156] = self.kind;
        put(&mut block[157..257], link);
        octal(&mut block[329..337], 0);
        octal(&mut block[337..345], 0);
        put(&mut block[345..500], prefix);
        seal(&mut block);
        block
    }
}

/// The block of type `x` with its records.
fn extended(name: &[u8], records: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let data: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
    let mut block = [0; BLOCK_BYTES];
    let mut shown = plain(&extended_name(name));
    shown.truncate(NAME_BYTES);
    while shown.last() == Some(&b'/') {
        shown.pop();
    }
    put(&mut block[..NAME_BYTES], &shown);
    for field in [100..108, 108..116, 116..124] {
        octal(&mut block[field], 0);
    }
    octal(&mut block[124..136], data.len() as u64);
    octal(&mut block[136..148], 0);
    block[156] = b'x';
    seal(&mut block);
    let mut bytes = block.to_vec();
    bytes.extend(&data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    bytes
}

/// `<directory>/PaxHeaders.0/<last part>`.
fn extended_name(name: &[u8]) -> Vec<u8> {
    let cut = name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    [&name[..cut], b"PaxHeaders.0/", &name[cut..]].concat()
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    let mut bytes = format!("{length} {key}=").into_bytes();
    bytes.extend(value);
    bytes.push(b'\n');
    bytes
}

/// Splits a name of more than 100 bytes at a slash into at most 155 and at most 100, where that can be done.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME_BYTES || !is_plain(name) {
        return None;
    }
    let within = &name[..name.len().min(PREFIX_BYTES + 1)];
    let slash = within.iter().rposition(|byte| *byte == b'/')?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    let fits = !prefix.is_empty() && !rest.is_empty() && rest.len() <= NAME_BYTES;
    fits.then_some((prefix, rest))
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (1..0x80).contains(byte))
}

fn plain(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| (1..0x80).contains(byte)).collect()
}

/// Copies as much as fits. A cut that ends in slashes loses them, else old readers take a file for a directory.
fn put(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    if text.len() > field.len() {
        for byte in field.iter_mut().rev().take_while(|byte| **byte == b'/') {
            *byte = 0;
        }
    }
}

/// Octal digits with leading zeros, and a closing NUL.
fn octal(field: &mut [u8], number: u64) {
    let digits = format!("{number:0width$o}", width = field.len() - 1);
    put(field, digits.as_bytes());
    if let Some(last) = field.last_mut() {
        *last = 0;
    }
}

/// The magic and the checksum, which is taken as if its own field were spaces.
fn seal(block: &mut [u8; BLOCK_BYTES]) {
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block[155] = b' ';
}
