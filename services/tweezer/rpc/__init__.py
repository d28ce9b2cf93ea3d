"""What every gRPC server and client of ours shares: who may call, errors, servers, channels."""
