//! Whole numbers in as few bytes as they need (LEB128).
//!
//! Must stay true: what was not written by [`put`] is answered by `None`, never by a panic.

/// Bits of one byte that carry the number.
const BITS: u32 = 7;
const MORE: u8 = 0x80;

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits fit in a byte");
        number >>= BITS;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | MORE);
    }
}

/// Appends a length.
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    put(out, u64::try_from(length).expect("a length fits in 64 bits"));
}

/// Takes a number off the front.
pub(crate) fn get(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & !MORE).checked_shl(shift)?;
        if byte & MORE == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes a number off the front that must fit in the type.
pub(crate) fn get_as<T: TryFrom<u64>>(from: &mut &[u8]) -> Option<T> {
    get(from)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut left = bytes.as_slice();
            assert_eq!((get(&mut left), left.len()), (Some(number), 0));
        }
    }

    #[test]
    fn a_cut_or_endless_number_is_none() {
        assert_eq!(get(&mut [].as_slice()), None);
        assert_eq!(get(&mut [0x80].as_slice()), None);
        assert_eq!(get(&mut [0xff; 20].as_slice()), None);
        assert_eq!(get_as::<u8>(&mut [0x80, 0x02].as_slice()), None);
    }
}
