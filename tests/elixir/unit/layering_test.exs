defmodule Vllm.LayeringTest do
  # One importer for each foreign thing, so that a reader knows where it ends.
  use ExUnit.Case, async: true

  # The doctor looks at the machine, not at a worker.
  @sources Path.wildcard("elixir/lib/**/*.ex") --
             Path.wildcard("elixir/lib/vllm/core/doctor/*.ex")

  test "cowlib is known to one module" do
    assert users(~r/:cow_\w+\./) == ["elixir/lib/vllm/core/wire/http2.ex"]
  end

  test "ports are known to one module" do
    assert users(~r/\bPort\.(open|close|command|info)\b/) == ["elixir/lib/vllm/core/worker.ex"]
  end

  test "sockets are opened by one module and owned by one process" do
    assert users(~r/:gen_tcp\.connect/) == ["elixir/lib/vllm/core/wire/socket.ex"]

    owner = [
      "elixir/lib/vllm/core/connection/handshake.ex",
      "elixir/lib/vllm/core/connection/outgoing.ex"
    ]

    assert users(~r/:gen_tcp\.(send|recv|close)\(/) == owner
  end

  test "nothing makes atoms from text at run time" do
    assert users(~r/String\.to_atom\b|binary_to_atom\b/) -- tasks() == []
  end

  defp users(pattern) do
    for path <- @sources, File.read!(path) =~ pattern, do: path
  end

  defp tasks, do: Path.wildcard("elixir/lib/mix/**/*.ex")
end
