//! The styles, as one file.

use crate::error::{self, BuildError};
use std::{fs, path::Path};

/// All `*.css` of the folder in the order of their names, without comments and indentation.
pub fn bundle(folder: &Path) -> Result<String, BuildError> {
    let failed = |error| BuildError::File(folder.into(), error);
    let mut paths = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect::<Result<Vec<_>, BuildError>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "css"));
    paths.sort();
    let mut bundled = String::new();
    for path in paths {
        bundled.push_str(&minify(&String::from_utf8_lossy(&error::read(&path)?)));
    }
    Ok(bundled)
}

/// Leaves out what has no meaning in any stylesheet: comments outside of strings, indentation, empty
/// lines. The rest is the compression's work.
fn minify(css: &str) -> String {
    let mut plain = String::with_capacity(css.len());
    let mut rest = css;
    let mut quote = None;
    while let Some(c) = rest.chars().next() {
        if quote.is_none() && rest.starts_with("/*") {
            rest = rest[2..].split_once("*/").map_or("", |(_, after)| after);
            // A comment separates, as a space does.
            plain.push(' ');
            continue;
        }
        let taken = if c == '\\' {
            // The escaped character is never a quote.
            rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end)
        } else {
            c.len_utf8()
        };
        match quote {
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    let mut lines = String::with_capacity(plain.len());
    for line in plain.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines.push_str(line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go_and_strings_stay() {
        let css = "/* one */\na {\n  color: red; /* two\n three */\n}\n\n\
            b::before { content: \"/* no */ \\\"/*\"; }\n@media/**/print{}\n";
        assert_eq!(
            minify(css),
            "a {\ncolor: red;\n}\nb::before { content: \"/* no */ \\\"/*\"; }\n@media print{}\n"
        );
        assert_eq!(minify("a{}/* never closed"), "a{}\n");
    }
}
