defmodule Vllm.Core.Worker.LaunchTest do
  use ExUnit.Case, async: true

  alias Vllm.Core.Instance.Watchdog
  alias Vllm.Core.Worker.Launch

  @options %{
    max_calls: 1,
    grace: 1_000,
    token_path: :auto,
    nice: 10,
    engine_class: nil,
    worker_args: [],
    watchdog: %{stall_after: 120_000}
  }

  test "passes stall_after in seconds" do
    for {time, seconds} <- [{1_500, "1.5"}, {120_000, "120.0"}, {0, "0.0"}, {:infinity, "0"}] do
      {:ok, watchdog} = Watchdog.validate(stall_after: time)
      assert argument("--stall-after", %{@options | watchdog: watchdog}) == seconds
    end
  end

  test "reads both addresses from the READY line" do
    line = ~S|VLLM_BRIDGE READY {"grpc_address": "tcp:h:2", "address": "tcp:h:1", "pid": 7}|

    assert Launch.ready(line) ==
             {:ok, %{address: "tcp:h:1", grpc_address: "tcp:h:2", os_pid: 7}}
  end

  test "reads a READY line of a worker without gRPC" do
    assert Launch.ready(~S|VLLM_BRIDGE READY {"address": "unix:/s", "pid": 7}|) ==
             {:ok, %{address: "unix:/s", grpc_address: nil, os_pid: 7}}
  end

  test "reads the path of a socket from a URI" do
    path = "/a " <> <<255>> <> ~s("\\ü%#\n)
    uri = URI.encode("unix:" <> path, &(&1 in ?a..?z or &1 in [?:, ?/]))
    line = ~s|VLLM_BRIDGE READY {"address": "#{uri}", "pid": 7, "grpc_address": "#{uri}.grpc"}|
    assert {:ok, %{address: "unix:" <> ^path, grpc_address: grpc}} = Launch.ready(line)
    assert grpc == "unix:" <> path <> ".grpc"
  end

  test "keeps room in a socket's path for the one of gRPC" do
    folder = "/" <> String.duplicate("x", 86)
    options = %{listen: :unix, socket_dir: folder, env: %{}}
    assert {:error, %Vllm.Error{kind: :invalid, message: message}} = Launch.listen(options)
    assert message =~ "/s.grpc has"
  end

  test "passes the nice value" do
    assert argument("--nice", %{@options | nice: 3}) == "3"
  end

  test "passes the token path" do
    for path <- [:auto, :outputs],
        do: assert(argument("--token-path", %{@options | token_path: path}) == "#{path}")
  end

  defp argument(name, options) do
    arguments = Launch.arguments("unix:/x", options)
    Enum.at(arguments, Enum.find_index(arguments, &(&1 == name)) + 1)
  end
end
