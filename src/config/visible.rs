//! Text from outside on a line of output: what could break the line or hide in it is escaped.

use std::path::Path;

/// What stands for `character` in a line of output: itself, or its escape if it would break or bend the line.
pub(crate) fn visible(character: char) -> impl Iterator<Item = char> {
    let (escape, plain) = if character.is_control() || is_format(character) {
        (Some(character.escape_unicode()), None)
    } else {
        (None, Some(character))
    };
    escape.into_iter().flatten().chain(plain)
}

/// The name of a file, with what would break the line escaped.
pub(super) fn visible_path(path: &Path) -> String {
    path.to_string_lossy().chars().flat_map(visible).collect()
}

/// Whether `character` is one of those that turn the direction of text or take no room: a quoted value could hide there.
fn is_format(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
