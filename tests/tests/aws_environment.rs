//! Region, credentials and endpoint are found where every AWS tool looks: in processes with environments of their own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use kubeguard_core::ecr::aws::AwsAccess;
use kubeguard_core::ecr::registry::Registry as _;

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:iam::444455556666:user/ci</Arn><UserId>U</UserId>\
    <Account>444455556666</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

/// What the tests below run in another process: says which registry is meant, or why nobody knows.
#[tokio::test]
#[ignore = "the other tests run it with an environment"]
async fn connect() {
    match AwsAccess::default().connect(|_| {}).await {
        Ok(ecr) => println!("=> {} of {}", ecr.id(), ecr.caller().await.expect("a caller").arn),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            println!("=> {error}: {cause} ({})", error.hint().unwrap_or_default());
        }
    }
}

/// Runs [`connect`] with an environment and the shared files of `home`; returns what it says.
fn connect_with(home: &std::path::Path, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--exact", "connect", "--ignored", "--nocapture", "--test-threads", "1"]).env_clear();
    // A machine in AWS would answer for its own role.
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true").envs(environment.iter().copied());
    let output = command.output().expect("this test runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.split_once("=> ").map(|(_, said)| said));
    said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

/// Answers as STS on a loopback address, for as long as the process lives.
fn sts() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", socket.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut connection in socket.incoming().flatten() {
            let mut request = [0; 8192];
            let length = connection.read(&mut request).unwrap_or(0);
            assert!(String::from_utf8_lossy(&request[..length]).contains("AKIA"), "it is signed");
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", IDENTITY.len());
            connection.write_all((head + IDENTITY).as_bytes()).ok();
        }
    });
    address
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "secret")];

#[test]
fn no_region_is_an_error_with_a_way_out() {
    let home = tempfile::tempdir().expect("a folder");
    let said = connect_with(home.path(), &KEYS);
    assert_eq!(said, "no AWS region is configured:  (give --region, or set AWS_REGION or the region of the profile)");
}

#[test]
fn an_address_for_ecr_is_asked_who_is_asking_too() {
    let (home, address) = (tempfile::tempdir().expect("a folder"), sts());
    let mut environment = KEYS.to_vec();
    environment.extend([("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL_ECR", address.as_str())]);
    let said = connect_with(home.path(), &environment);
    assert_eq!(said, "444455556666/us-east-1 of arn:aws:iam::444455556666:user/ci");
}

#[test]
fn a_profile_gives_region_credentials_and_address() {
    let (home, address) = (tempfile::tempdir().expect("a folder"), sts());
    let file = home.path().join(".aws/config");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    let profile = format!(
        "[profile china]\nregion = cn-north-1\naws_access_key_id = AKIATEST\naws_secret_access_key = s\n\
         services = local\n[services local]\necr =\n  endpoint_url = {address}\n"
    );
    std::fs::write(file, profile).expect("a file");
    let said = connect_with(home.path(), &[("AWS_PROFILE", "china")]);
    assert_eq!(said, "444455556666/cn-north-1 of arn:aws:iam::444455556666:user/ci");
}

#[test]
fn no_credentials_is_an_error_that_says_so() {
    let home = tempfile::tempdir().expect("a folder");
    let said = connect_with(home.path(), &[("AWS_REGION", "us-east-1")]);
    assert!(
        said.starts_with(
            "cannot tell which account's registry is meant: GetCallerIdentity: there are no AWS credentials"
        ),
        "{said}"
    );
    assert!(said.contains("sign in again"), "{said}");
}

#[test]
fn credentials_that_cannot_be_loaded_say_why() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    let profile = "[default]\nregion = us-east-1\ncredential_process = /bin/false\n";
    std::fs::write(home.path().join(".aws/config"), profile).expect("a file");
    let said = connect_with(home.path(), &[]);
    assert!(said.contains("GetCallerIdentity: the AWS credentials cannot be loaded: "), "{said}");
}
