//! What changes objects: deletions with preconditions, creations with generated names, access reviews.

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{Body, Change, Response, Shared, StatusCode, json_text, status};

impl Shared {
    /// Deletes an object as the API server does: only where uid and version are as the caller knows them.
    pub(super) fn remove(
        &mut self,
        path: &str,
        options: &Value,
        changes: &broadcast::Sender<Change>,
    ) -> Response<Body> {
        let (collection, name) = path.rsplit_once('/').unwrap_or((path, ""));
        let Some(object) = self.objects.get(collection).and_then(|objects| objects.get(name)) else {
            return status(404, "NotFound", &format!("{name} not found"));
        };
        let meta = &object["metadata"];
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != meta[field] {
                let message = format!("the {field} in the precondition ({wanted}) does not match: {}", meta[field]);
                return status(409, "Conflict", &message);
            }
        }
        if options["dryRun"] == json!(["All"]) {
            return json_text(StatusCode::OK, object.to_string());
        }
        if meta["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            let mut object = object.clone();
            object["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z".into();
            self.version += 1;
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.objects.entry(collection.to_owned()).or_default().insert(name.to_owned(), object.clone());
            return json_text(StatusCode::OK, object.to_string());
        }
        let object = object.clone();
        self.version += 1;
        self.objects.entry(collection.to_owned()).or_default().remove(name);
        drop(changes.send(Change { kind: "DELETED", collection: collection.to_owned(), object: object.clone() }));
        json_text(StatusCode::OK, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}).to_string())
    }

    /// Creates an object; with `dryRun=All` only says that it would.
    pub(super) fn create(&mut self, path: &str, query: &str, mut object: Value) -> Response<Body> {
        if path.ends_with("accessreviews") {
            let asked = &object["spec"]["resourceAttributes"];
            let word = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
            let right = format!("{} {}/{}", word("verb"), word("resource"), word("subresource"));
            object["status"] = json!({"allowed": !self.denied.contains(right.trim_end_matches('/'))});
            return json_text(StatusCode::CREATED, object.to_string());
        }
        self.version += 1;
        let version = self.version;
        if object["metadata"]["name"].is_null() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
            object["metadata"]["name"] = format!("{prefix}{version}").into();
        }
        object["metadata"]["resourceVersion"] = version.to_string().into();
        if !query.contains("dryRun=All") {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            self.objects.entry(path.to_owned()).or_default().insert(name, object.clone());
        }
        json_text(StatusCode::CREATED, object.to_string())
    }
}
