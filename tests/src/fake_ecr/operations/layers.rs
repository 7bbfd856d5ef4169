//! `InitiateLayerUpload`, `UploadLayerPart`, `CompleteLayerUpload`: layers are taken and not kept, no image needs them here.

use serde::{Deserialize, Serialize};

use super::{Operation, Refusal, Site};
use crate::fake_ecr::store::Store;

/// `InitiateLayerUpload`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InitiateLayerUpload {
    pub registry_id: Option<String>,
    pub repository_name: String,
}

/// Answer of [`InitiateLayerUpload`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Initiated {
    pub upload_id: String,
    pub part_size: u64,
}

/// `UploadLayerPart`; its bytes are not looked at.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadLayerPart {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub upload_id: String,
    pub part_last_byte: u64,
}

/// Answer of [`UploadLayerPart`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Uploaded {
    pub upload_id: String,
    pub last_byte_received: u64,
}

/// `CompleteLayerUpload`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CompleteLayerUpload {
    pub registry_id: Option<String>,
    pub repository_name: String,
    pub upload_id: String,
    pub layer_digests: Vec<String>,
}

/// Answer of [`CompleteLayerUpload`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Completed {
    pub upload_id: String,
    pub layer_digest: String,
}

macro_rules! layer_operation {
    ($input:ident, $output:ident, $run:expr) => {
        impl Operation for $input {
            const NAME: &'static str = stringify!($input);
            type Output = $output;

            fn registry_id(&self) -> Option<&str> {
                self.registry_id.as_deref()
            }

            fn repository(&self) -> Option<&str> {
                Some(&self.repository_name)
            }

            fn run(&self, store: &mut Store, at: &Site) -> Result<$output, Refusal> {
                store.named_repository(at, &self.repository_name)?;
                $run(self)
            }
        }
    };
}

layer_operation!(InitiateLayerUpload, Initiated, |_: &InitiateLayerUpload| {
    Ok(Initiated { upload_id: "upload".to_owned(), part_size: 10_485_760 })
});
layer_operation!(UploadLayerPart, Uploaded, |part: &UploadLayerPart| {
    Ok(Uploaded { upload_id: part.upload_id.clone(), last_byte_received: part.part_last_byte })
});
layer_operation!(CompleteLayerUpload, Completed, |upload: &CompleteLayerUpload| {
    let digest = upload.layer_digests.first().cloned();
    let layer_digest = digest.ok_or_else(|| Refusal::invalid("'layerDigests': at least 1"))?;
    Ok(Completed { upload_id: upload.upload_id.clone(), layer_digest })
});
