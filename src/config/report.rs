//! What a load has found so far: mistakes and warnings, put in the order of the files at the end.

use std::cell::RefCell;

use super::diagnostic::Diagnostic;
use crate::bounds::{CONFIG_DIAGNOSTICS_KEPT, CONFIG_DIAGNOSTICS_MAX};

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<Diagnostic>>,
    warnings: RefCell<Vec<Diagnostic>>,
}

// === impl Report ===

impl Report {
    pub(super) fn error(&self, diagnostic: Diagnostic) {
        if !self.is_full() {
            self.errors.borrow_mut().push(diagnostic);
        }
    }

    pub(super) fn warn(&self, diagnostic: Diagnostic) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < CONFIG_DIAGNOSTICS_KEPT {
            warnings.push(diagnostic);
        }
    }

    /// Whether further mistakes are not kept: then none need be described either.
    pub(super) fn is_full(&self) -> bool {
        self.errors.borrow().len() >= CONFIG_DIAGNOSTICS_KEPT
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// The warnings, or the errors if there are any; both in the order of the files.
    pub(super) fn finish(self, files: &[String]) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let rank = |d: &Diagnostic| {
            let file = files.iter().position(|file| **file == *d.place.file);
            (file.unwrap_or(usize::MAX), d.place.line, d.place.column)
        };
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            let mut warnings = self.warnings.into_inner();
            warnings.sort_by_key(rank);
            return Ok(warnings);
        }
        errors.sort_by_key(rank);
        let plus = if errors.len() == CONFIG_DIAGNOSTICS_KEPT { "+" } else { "" };
        let more = errors.len().saturating_sub(CONFIG_DIAGNOSTICS_MAX);
        if let Some(last) = errors.get(CONFIG_DIAGNOSTICS_MAX) {
            let note = Diagnostic {
                place: last.place.clone(),
                key: String::new(),
                value: None,
                message: format!("{more}{plus} more mistakes"),
                remedy: "repair the ones above first".to_owned(),
            };
            errors.truncate(CONFIG_DIAGNOSTICS_MAX);
            errors.push(note);
        }
        Err(errors)
    }
}
