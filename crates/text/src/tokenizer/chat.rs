//! The chat template that lies beside a tokenizer, by which dialogues are written for its model.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use rapport_store::BadInput;

use crate::chat::ChatTemplate;

/// The template of a folder, or what is wrong with it, which counts only where a dialogue is to be written.
#[derive(Clone, Debug)]
pub(super) struct Chat(Result<Option<Arc<ChatTemplate>>, String>);

impl Default for Chat {
    fn default() -> Self {
        Self(Ok(None))
    }
}

impl Chat {
    pub(super) fn find(dir: &Path) -> Self {
        let found = ChatTemplate::find(dir).map_err(|error| format!("{error:#}"));
        Self(found.map(|it| it.map(Arc::new)))
    }

    pub(super) fn of(template: Option<Arc<ChatTemplate>>) -> Self {
        Self(Ok(template))
    }

    pub(super) fn template(&self) -> Result<Option<&ChatTemplate>> {
        match &self.0 {
            Ok(template) => Ok(template.as_deref()),
            Err(why) => Err(BadInput(why.clone()).into()),
        }
    }
}
