//! A rule of your own beside those of the library: every image of the team comes from its own registry.

use kubeguard_core::audit::facts::Carrier;
use kubeguard_core::audit::{
    Builder, Check, Context, Fact, Findings, Need, Origin, Policy, Rule, Severity, audit, rules,
};
use kubeguard_core::pods::Member;
use serde_json::json;

const OWN_REGISTRY: Rule = Rule {
    id: "TEAM-001",
    name: "foreign-registry",
    severity: Severity::High,
    summary: "an image comes from a registry that is not ours",
    remedy: "mirror the image to registry.example.org",
    needs: &[Need::decides(Fact::Deployment).or_none()],
    check: Check::Container(foreign),
    ..Rule::BASE
};

fn foreign<'a>(context: &Context<'a>, carrier: Carrier<'a>, member: Member<'a>, findings: &mut Findings<'a>) {
    let image = &member.container.image;
    if !image.starts_with("registry.example.org/") {
        let message = format!("container {} runs {image}", member.container.name);
        let path = format!("{}{}/image", carrier.path, member.path());
        findings.push(context.container(carrier, member, message).evidence(path, image.as_str()));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut facts = Builder::new(Origin::Manifests);
    facts.add(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "docker.io/nginx:1"}]}}}}));
    let rules: Vec<&Rule> = rules().iter().chain([&OWN_REGISTRY]).collect();
    let report = audit(&facts.finish(), &rules, &Policy::default(), "2026-01-01T00:00:00Z".parse()?);
    for item in &report.items {
        println!("{} {} {}: {}", item.severity, item.rule, item.object, item.message);
    }
    Ok(())
}
