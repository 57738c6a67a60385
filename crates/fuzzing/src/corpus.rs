//! The corpus: `fuzz/corpus/NAME.txt`, one input per line in hexadecimal, shortest first. A line that
//! begins with `#` says why the next one is kept.

use std::{fs, path::Path};

/// The inputs in a corpus file; none if there is no such file.
///
/// # Panics
/// On a line that is not hexadecimal.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    from_lines(&fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap_or_default())
}

/// The inputs in a corpus file's text.
///
/// # Panics
/// On a line that is not hexadecimal.
pub fn from_lines(text: &str) -> Vec<Vec<u8>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(unhex)
        .collect()
}

/// The other way round, sorted; `keep` holds lines of a corpus whose comments stay.
pub fn to_lines(inputs: &[Vec<u8>], keep: &str) -> String {
    let mut text = String::new();
    let mut lines = keep.lines();
    let mut named = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            let input = lines.next().unwrap_or_default();
            text.push_str(&format!("{line}\n{input}\n"));
            named.push(input.to_owned());
        }
    }
    let mut inputs: Vec<&Vec<u8>> = inputs.iter().collect();
    inputs.sort_by_key(|input| (input.len(), *input));
    inputs.dedup();
    for input in inputs {
        let line = hex(input);
        if !named.contains(&line) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(line: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16);
    let bytes = line.as_bytes().chunks(2).map(|pair| match *pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    assert!(bytes.is_some(), "not hexadecimal: {line}");
    bytes.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lead_back_and_comments_stay() {
        let old = "# too late\nff00\n01\n";
        let text = to_lines(&[vec![2, 3], vec![1], vec![0xff, 0]], old);
        assert_eq!(text, "# too late\nff00\n01\n0203\n");
        assert_eq!(from_lines(&text), [vec![0xff, 0], vec![1], vec![2, 3]]);
    }
}
