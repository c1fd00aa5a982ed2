use std::path::Path; use anyhow::Result; use crate::data::Example; use crate::data::template::ChatTemplate;
pub fn preference_rows(_p:&Path,_t:Option<&ChatTemplate>)->Result<Vec<Example>>{todo!()}
pub fn sft_rows(_p:&Path,_t:Option<&ChatTemplate>)->Result<Vec<Example>>{todo!()}
