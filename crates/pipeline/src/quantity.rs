//! Amounts of memory and CPU as people write them: `512MiB`, `2G`, `512Mi`, `500m`, `0.5`.

/// Least memory with which a process can start, in bytes.
const MIN_MEMORY_BYTES: u64 = 16 * 1024 * 1024;
/// Above any machine, in bytes: 1 TiB.
const MAX_MEMORY_BYTES: u64 = 1 << 40;

/// Bytes of `512MiB`, `512Mi` (1024-based) or `512MB`, `512M` (1000-based), or a plain number of bytes:
/// the suffixes of Kubernetes and their long forms.
pub(crate) fn memory_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" => 1,
        "k" | "K" | "kB" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return Err("write memory like `512MiB` or `1GiB`".to_owned()),
    };
    let bytes = thousandths(number)
        .and_then(|n| n.checked_mul(factor))
        .map(|n| n / 1000)
        .ok_or("write memory like `512MiB` or `1GiB`")?;
    if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&bytes) {
        return Err("memory must be between 16MiB and 1024GiB".to_owned());
    }
    Ok(bytes)
}

/// Thousandths of a core of `500m`, `0.5` or `2`.
pub(crate) fn cpu_millis(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let millis = match text.strip_suffix('m') {
        Some(millis) if !millis.contains('.') => thousandths(millis).map(|n| n / 1000),
        Some(_) => None,
        None => thousandths(text),
    };
    millis
        .filter(|millis| (10..=64_000).contains(millis))
        .and_then(|millis| u32::try_from(millis).ok())
        .ok_or_else(|| "write CPU in cores between 0.01 and 64, like `0.5` or `500m`".to_owned())
}

/// A decimal number with at most three decimals, times 1000.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || whole.len() > 15 || decimals.len() > 3 {
        return None;
    }
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_cpu_are_read_as_kubernetes_and_people_write_them() {
        assert_eq!(memory_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(memory_bytes("1.5Gi"), Ok(3 << 29));
        assert_eq!(memory_bytes("2G"), Ok(2_000_000_000));
        assert_eq!(memory_bytes("134217728"), Ok(134_217_728));
        assert_eq!(cpu_millis("500m"), Ok(500));
        assert_eq!(cpu_millis("0.5"), Ok(500));
        assert_eq!(cpu_millis("3"), Ok(3000));
    }

    #[test]
    fn nonsense_and_overflow_are_refused() {
        for bad in
            ["", "x", "-1Gi", "1e9", "10", "99999999999999999999G", "999999999999999G", "1..2G", "512 MiBs"]
        {
            assert!(memory_bytes(bad).is_err(), "{bad}");
        }
        for bad in ["", "m", "-1", "0", "1.5m", "1000", "one", "NaN", "inf"] {
            assert!(cpu_millis(bad).is_err(), "{bad}");
        }
    }
}
