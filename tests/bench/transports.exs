# What do TCP and TLS cost beside a Unix socket?
#
#     mix run tests/bench/transports.exs [--tokens N] [--calls N] [--rounds N] [--json] [--quick]
#
# Sessions of one BEAM over each transport, by turns: a call that has nothing to do (`is_running`), a
# token of one stream and of 64, and a value of 16 MB there and back. The engine is
# the fake one, which makes a token when the one before was taken, so nothing waits for a model. TLS is
# 1.3 with certificates on both sides. The Unix socket and TLS are served by one worker; plain TCP by
# another, because a worker with a certificate takes TLS at every network address.
#
# What it does not show: a network. All goes over the loopback interface of one machine.

Code.require_file("support/bench.exs", __DIR__)

defmodule Transports do
  alias Bench.Processes
  alias Vllm.{AsyncLLM, Bytes, Ref}
  alias Vllm.Core.Worker

  @transports [:unix, :tcp, :tls]
  @large 16 * 1024 * 1024

  def run(argv) do
    opts = Bench.options(argv, tokens: :integer, calls: :integer)
    tokens = Map.get(opts, :tokens, if(opts.quick, do: 500, else: 20_000))
    calls = Map.get(opts, :calls, if(opts.quick, do: 100, else: 2_000))
    rounds = Bench.rounds(opts, 6)
    folder = Path.join(System.tmp_dir!(), "transports-#{System.unique_integer([:positive])}")
    File.mkdir!(folder)

    try do
      engines = engines(folder)
      once = fn transport -> measure(engines[transport], calls, tokens) end
      for transport <- @transports, do: measure(engines[transport], 100, 500)
      results = Bench.in_turn(rounds, @transports, once)
      Bench.report(opts, "transports", [table(results, rounds)])
    after
      File.rm_rf!(folder)
    end
  end

  ## Instances

  defp engines(folder) do
    files = certificates(folder)
    port = free_port()

    own =
      ["--listen", "tls://127.0.0.1:#{port}", "--grpc-listen", "none"] ++
        ["--tls-cert", files.server_cert, "--tls-key", files.server_key] ++
        ["--tls-client-ca", files.client_ca]

    start(name: Transports.Unix, worker_args: own)
    start(name: Transports.TCP, listen: {:tcp, 0}, worker_args: ["--grpc-listen", "none"])
    {:ok, _unix, token} = Worker.address(Transports.Unix.Worker)

    attached = [
      connect: "tls://127.0.0.1:#{port}",
      token: token,
      tls: [
        cacertfile: files.server_ca,
        certfile: files.client_cert,
        keyfile: files.client_key,
        server_name: "localhost"
      ]
    ]

    {:ok, _pid} = Vllm.start_link([name: Transports.TLS] ++ attached)
    {:ok, unix} = AsyncLLM.from_engine_args(Transports.Unix, model: "fake")
    {:ok, tcp} = AsyncLLM.from_engine_args(Transports.TCP, model: "fake")
    tls = %Ref{unix | instance: {Transports.TLS, node()}}
    %{unix: unix, tcp: tcp, tls: tls}
  end

  defp start(options) do
    class = "python_worker.testing.fake_engine:FakeAsyncLLM"
    {:ok, _pid} = Vllm.start_link([engine_class: class, log: false] ++ options)
  end

  defp free_port do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :ok = :gen_tcp.close(socket)
    port
  end

  defp certificates(folder) do
    made = [digest: :sha256, key: {:namedCurve, :secp256r1}]
    names = {:Extension, {2, 5, 29, 17}, false, [dNSName: 'localhost']}
    root = &:public_key.pkix_test_root_cert(&1, made)

    for {side, root} <- [server: root.('server'), client: root.('client')], into: %{} do
      peer = made ++ [extensions: [names]]
      pair = :public_key.pkix_test_data(%{root: root, intermediates: [], peer: peer})
      {type, der} = pair[:key]

      {side,
       %{
         ca: [{:Certificate, root.cert, :not_encrypted}],
         cert: [{:Certificate, pair[:cert], :not_encrypted}],
         key: [{type, der, :not_encrypted}]
       }}
    end
    |> write(folder)
  end

  defp write(%{server: server, client: client}, folder) do
    for {side, entries} <- [server: server, client: client],
        {kind, entry} <- entries,
        into: %{} do
      path = Path.join(folder, "#{side}_#{kind}.pem")
      File.write!(path, :public_key.pem_encode(entry))
      {String.to_existing_atom("#{side}_#{kind}"), path}
    end
  end

  ## Measuring

  defp measure(engine, calls, tokens) do
    {call_cpu, call} = cpu(engine, fn -> for _ <- 1..calls, do: call_us(engine) end)
    {token_cpu, token} = cpu(engine, fn -> stream_us(engine, 1, tokens) end)
    each = div(tokens, 64) + 1
    {cpu_of_64, of_64} = cpu(engine, fn -> stream_us(engine, 64, each) end)

    %{
      call_us: Bench.median(call),
      call_cpu_us: call_cpu / calls,
      token_us: token / tokens,
      token_cpu_us: token_cpu / tokens,
      token_of_64_us: of_64 / (64 * each),
      token_of_64_cpu_us: cpu_of_64 / (64 * each),
      large_ms: large_us(engine) / 1000
    }
  end

  # The CPU time of worker and BEAM, which other programs of the machine change less than the clock's.
  defp cpu(%{instance: {name, _node}}, fun) do
    {:ok, %{"pid" => worker}} = Vllm.status(name)
    used = fn -> Processes.cpu_us(worker) + Processes.cpu_us(System.pid()) end
    before = used.()
    result = fun.()
    {used.() - before, result}
  end

  defp call_us(engine) do
    {microseconds, {:ok, true}} = timed(fn -> AsyncLLM.is_running(engine) end)
    microseconds
  end

  # Until all of so many streams have had so many tokens each.
  defp stream_us(engine, streams, tokens) do
    {microseconds, _ended} =
      timed(fn ->
        1..streams
        |> Enum.map(fn _ -> Task.async(fn -> consume(engine, tokens) end) end)
        |> Task.await_many(:infinity)
      end)

    microseconds
  end

  defp consume(engine, tokens) do
    params = [max_tokens: tokens, output_kind: :DELTA]
    params = params ++ [extra_args: %{"fake" => %{"paced" => true, "delay" => 0}}]
    id = "r#{System.unique_integer([:positive])}"
    {:ok, stream} = AsyncLLM.generate(engine, "x", params, id)
    ^tokens = Enum.reduce(stream, 0, fn item, sum -> sum + length(hd(item.outputs).token_ids) end)
  end

  defp large_us(engine) do
    {microseconds, {:ok, _same}} =
      timed(fn -> Vllm.call(engine, "echo", [%Bytes{data: :binary.copy(<<0>>, @large)}]) end)

    microseconds
  end

  defp timed(fun) do
    began = System.monotonic_time(:nanosecond)
    result = fun.()
    {(System.monotonic_time(:nanosecond) - began) / 1000, result}
  end

  ## The table

  @quantities [
    call_us: "a call, µs",
    call_cpu_us: "a call, µs of CPU",
    token_us: "a token of one stream, µs",
    token_cpu_us: "a token of one stream, µs of CPU",
    token_of_64_us: "a token of 64 streams, µs",
    token_of_64_cpu_us: "a token of 64 streams, µs of CPU",
    large_ms: "16 MB there and back, ms"
  ]

  defp table(results, rounds) do
    rows =
      for {key, what} <- @quantities do
        of =
          Map.new(results, fn {transport, rounds} -> {transport, Enum.map(rounds, & &1[key])} end)

        %{
          what: what,
          unix: Bench.median(of.unix),
          tcp: Bench.median(of.tcp),
          tls: Bench.median(of.tls),
          tcp_ratio: Bench.paired(of.tcp, of.unix),
          tls_ratio: Bench.paired(of.tls, of.tcp)
        }
      end

    columns = [
      what: "median of #{rounds} rounds",
      unix: {"Unix socket", 1},
      tcp: {"TCP", 1},
      tls: {"TLS", 1},
      tcp_ratio: {"TCP : Unix", 2},
      tls_ratio: {"TLS : TCP", 2}
    ]

    Bench.table("the transports of a session, over loopback", columns, rows)
  end
end

Transports.run(System.argv())
