//! Changes to a good text, as bytes from a fuzzer or a generator say.

/// Applies one change for every three bytes: what to do, where, and with what. No bytes, no change.
pub(crate) fn edited(good: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(change[1]) % (bytes.len() + 1);
        match change[0] % 4 {
            0 => bytes.insert(at, change[2]),
            1 => drop((at < bytes.len()).then(|| bytes.remove(at))),
            2 => bytes.truncate(at),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= change[2]),
        }
    }
    bytes
}
