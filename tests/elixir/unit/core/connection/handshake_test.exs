defmodule Vllm.Core.Connection.HandshakeTest do
  # From an address to a session: the first frames, and how it fails.
  use Vllm.FakeWorkerCase, async: true

  alias Vllm.Proto.EngineLoad

  @moduletag connect: false

  test "sends the hello first, with version and token", %{fake: fake, name: name} do
    start_supervised!(
      {Vllm, name: name, connect: fake.address, token: "secret", start_timeout: 0}
    )

    assert_receive {:client, %ClientFrame{hello: hello, calls: []}}
    assert %{protocol_version: 1, token: "secret"} = hello
  end

  @tag fake: [transport: :tcp]
  test "works over TCP, without delaying small requests", context do
    %{fake: fake, name: name, instance: instance} = context
    start_supervised!({Vllm, name: name, connect: fake.address, start_timeout: 0})
    assert {:ok, %{vllm_version: "9.9.9", calls: 0}} = Connection.info(instance)
    %{socket: {:gen_tcp, socket}} = :sys.get_state(connection(instance))
    assert :inet.getopts(socket, [:nodelay]) == {:ok, nodelay: true}
  end

  @tag fake: [hello: FakeWorker.hello(protocol_version: 7)]
  test "names both protocol versions when they differ", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :protocol} = error} = start(name, fake)
    assert error.message =~ "version 7"
    assert error.message =~ "version 1"
    assert error.details == %{"worker" => 7, "client" => 1}
  end

  @tag fake: [
         hello: %ServerFrame{
           failure: %Failure{kind: :protocol, message: "the token is wrong"}
         }
       ]
  test "returns the worker's refusal", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :protocol, message: "the token is wrong"}} = start(name, fake)
  end

  @tag fake: [hello: FakeWorker.hello(session_address: "tcp:10.0.0.1:5000")]
  test "gRPC's address is refused with the address of the sessions", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :protocol} = error} = start(name, fake)

    assert error.message ==
             "this address serves gRPC; sessions are opened at tcp:10.0.0.1:5000: use that address"

    assert error.details == %{"session_address" => "tcp:10.0.0.1:5000"}
  end

  @tag fake: [hello: FakeWorker.hello(protocol_version: 7)]
  test "closes the socket when it fails", %{fake: fake} do
    ports = fn ->
      for port <- Port.list(), {:connected, self()} == Port.info(port, :connected), do: port
    end

    before = ports.()

    for _ <- 1..3,
        do:
          {:error, %Error{}} =
            Vllm.Core.Connection.Handshake.run(fake.address, %Vllm.Proto.ClientHello{}, %{})

    assert ports.() == before
  end

  @tag fake: [hello: %ServerFrame{loads: [%EngineLoad{ref: "r1"}]}]
  test "refuses a worker whose first frame is not a hello", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :protocol} = error} = start(name, fake)
    assert error.message =~ "hello"
  end

  # Waiting may help: it may be stopped.
  @tag fake: [hello: %ServerFrame{}]
  test "takes a worker that says nothing for one that is down", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :worker_down} = error} = start(name, fake)
    assert error.message =~ "did not answer the hello"
  end

  @tag fake: [hello: nil]
  test "reports a session that ends before the hello", %{fake: fake, name: name} do
    Process.flag(:trap_exit, true)

    task =
      Task.async(fn ->
        Process.flag(:trap_exit, true)
        start(name, fake)
      end)

    assert_receive {:client, %ClientFrame{}}
    FakeWorker.end_session(fake, [{"grpc-status", "16"}, {"grpc-message", "no"}])
    assert {:error, %Error{kind: :unauthenticated} = error} = Task.await(task, :infinity)
    assert error.details == %{"grpc" => "UNAUTHENTICATED"}
  end

  @tag fake: [
         hello: [
           FakeWorker.hello(),
           %ServerFrame{failure: %Failure{kind: :worker_down, message: "never mind"}}
         ]
       ]
  test "a session that ends right after the hello fails with the worker's reason", %{
    fake: fake,
    name: name
  } do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{kind: :worker_down, message: "never mind"}} = start(name, fake)
    assert_receive :client_closed
  end

  test "such a session is tried again when the worker has come back", context do
    %{fake: fake, name: name, instance: instance} = context
    "unix:" <> socket = fake.address
    link = socket <> "-later"
    on_exit(fn -> File.rm(link) end)
    File.ln_s!(socket, link)
    start_supervised!({Vllm, name: name, connect: "unix:" <> link, start_timeout: 0})
    failure = %ServerFrame{failure: %Failure{kind: :protocol, message: "never mind"}}
    ends = follow(link, hello: [FakeWorker.hello(), failure])
    assert_receive {:client, %ClientFrame{hello: %{}}}
    FakeWorker.close(fake)
    assert_receive {:client, %ClientFrame{hello: %{}}}
    assert_receive :client_closed
    FakeWorker.cleanup(ends)
    follow(link, [])
    wait_until(fn -> match?({:ok, %{calls: 0}}, Connection.info(instance)) end)
  end

  @tag fake: [hello: nil]
  test "a session that is cancelled by a stopping worker is tried again", context do
    %{fake: fake, name: name} = context
    "unix:" <> socket = fake.address
    link = socket <> "-later"
    on_exit(fn -> File.rm(link) end)
    File.ln_s!(socket, link)
    options = [name: name, connect: "unix:" <> link, start_timeout: 20_000]
    task = Task.async(fn -> {Vllm.start_link(options), Process.sleep(:infinity)} end)
    assert_receive {:client, %ClientFrame{}}
    follow(link, [])
    FakeWorker.end_session(fake, [{"grpc-status", "1"}, {"grpc-message", "CANCELLED"}])
    assert_receive {:client, %ClientFrame{hello: %{}}}
    wait_until(fn -> match?({:ok, %{calls: 0}}, Connection.info(context.instance)) end)
    Task.shutdown(task)
  end

  # Another worker at the place where the first was.
  defp follow(link, options) do
    {:ok, next} = FakeWorker.start_link(options)
    on_exit(fn -> FakeWorker.cleanup(next) end)
    "unix:" <> socket = next.address
    File.rm!(link)
    File.ln_s!(socket, link)
    next
  end

  test "an address without a listener is an error that names it", %{name: name} do
    Process.flag(:trap_exit, true)
    options = [name: name, connect: "unix:/nowhere/socket", start_timeout: 0]
    assert {:error, error} = Vllm.start_link(options)
    assert %Error{kind: :worker_down} = error
    assert error.message =~ "/nowhere/socket"
    assert error.message =~ "no such file"
  end

  test "waits for a worker that is not listening yet", %{fake: fake, name: name} = context do
    "unix:" <> socket = fake.address
    link = socket <> "-later"
    on_exit(fn -> File.rm(link) end)

    start = fn ->
      Vllm.start_link(name: name, connect: "unix:" <> link, start_timeout: 20_000)
    end

    task = Task.async(fn -> {start.(), Process.sleep(:infinity)} end)
    wait_until(fn -> Process.whereis(Module.concat(name, "Connection")) != nil end)
    ref = ref(context.instance, "r1", "AsyncLLM")
    assert {:error, %Error{kind: :worker_down}} = Call.invoke(ref, "sleep")
    File.ln_s!(socket, link)
    assert_receive {:client, %ClientFrame{hello: %{}}}

    # The same after it was lost.
    File.rm!(link)
    FakeWorker.close(fake)
    {:ok, next} = FakeWorker.start_link()
    "unix:" <> socket = next.address
    on_exit(fn -> FakeWorker.cleanup(next) end)
    File.ln_s!(socket, link)
    assert_receive {:client, %ClientFrame{hello: %{}}}
    Task.shutdown(task)
  end

  defp start(name, fake),
    do: Vllm.start_link(name: name, connect: fake.address, start_timeout: 0)
end
