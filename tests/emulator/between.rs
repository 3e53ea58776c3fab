//! What stands between the function and an endpoint: a gate that stops it in the middle, and the simulated AWS itself.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};

use crate::function::request;
use crate::simulation::wire::Wire;

/// Passes every request on to an emulator, but keeps `UpdateService` back after so many; says when that happens.
pub(crate) async fn gate(emulator: &str, updates: usize) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let upstream = emulator.trim_start_matches("http://").to_owned();
    let passed = Arc::new(tokio::sync::Mutex::new(0));
    let (kept_back, told) = channel(100);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (upstream, passed, kept_back) =
                (upstream.clone(), passed.clone(), kept_back.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let Some(asked) = request(&mut stream).await else {
                    return;
                };
                // One at a time, so that exactly so many pass.
                let mut passed = passed.lock().await;
                if asked.operation == "UpdateService" {
                    if *passed == updates {
                        let _ = kept_back.send(()).await;
                        drop(passed);
                        return std::future::pending().await;
                    }
                    *passed += 1;
                }
                let mut up = TcpStream::connect(&upstream).await.unwrap();
                let head = format!(
                    "POST / HTTP/1.1\r\nhost: {upstream}\r\nx-amz-target: AmazonEC2ContainerServiceV20141113.{}\r\n\
                     content-type: application/x-amz-json-1.1\r\nauthorization: {}\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n",
                    asked.operation,
                    asked.authorization,
                    asked.body.len()
                );
                up.write_all(&[head.as_bytes(), &asked.body].concat())
                    .await
                    .unwrap();
                let mut answer = Vec::new();
                up.read_to_end(&mut answer).await.unwrap();
                // The answer ends with its connection, so this one ends, too.
                let _ = stream.write_all(&answer).await;
            });
        }
    });
    (endpoint, told)
}

/// The simulated AWS as a server.
pub(crate) async fn serve(wire: Wire) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let wire = wire.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(asked) = request(&mut stream).await {
                    let body = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
                    let Some((status, answer)) = wire.exchange(&asked.operation, &body).await
                    else {
                        return;
                    };
                    let answer = answer.to_string();
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
                        answer.len()
                    );
                    if stream
                        .write_all(&[head.as_bytes(), answer.as_bytes()].concat())
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    endpoint
}
