defmodule Vllm.Core.Connection.IncomingTest do
  # Bytes that are nearly right, at every level of the client's side: HTTP/2, the prefix of a gRPC
  # message, protobuf, and a whole instance that meets such a worker. The lane runs as many as fit;
  # MUTATED_FRAMES=100000 in the environment makes it a run of minutes.
  use Vllm.FakeWorkerCase, async: true

  import ExUnit.CaptureLog

  alias Vllm.{Cuts, HTTP2Peer}
  alias Vllm.Core.Connection.{Incoming, State}
  alias Vllm.Core.Wire.{GRPC, Session}

  alias Vllm.Proto.{
    CallReply,
    CallRequest,
    Draining,
    EngineDied,
    Input,
    InputWanted,
    InputsClosed
  }

  alias Vllm.Proto.{EngineLoad, Notice, ServerHello}

  @moduletag timeout: 900_000
  @mutations String.to_integer(System.get_env("MUTATED_FRAMES", "10000"))
  @bytes 64 * 1024 * 1024

  test "a session accepts mutated bytes of every level, or ends with a readable error" do
    whole = conversation()

    {outcomes, grown} =
      growth(fn ->
        for seed <- 1..@mutations, reduce: %{} do
          outcomes ->
            bytes = Cuts.mutate(whole, seed, 1 + rem(seed, 4))
            Map.update(outcomes, run(bytes, seed), 1, &(&1 + 1))
        end
      end)

    # Some do not matter, some are found at each level.
    assert %{alive: _, protocol: _} = outcomes
    assert Map.keys(outcomes) -- [:alive, :protocol, :worker_down, :timeout, :cancelled] == []
    assert grown < @bytes
  end

  test "an announced size allocates no memory before its bytes have arrived" do
    for claim <- [256 * 1024 * 1024 + 1, 2_147_483_647, 4_294_967_295] do
      {result, grown} = growth(fn -> GRPC.push(%GRPC{}, <<0, claim::32, "x">>) end)
      assert {:error, %Error{kind: :protocol} = error, []} = result
      assert error.message =~ "#{claim} bytes"
      assert grown < 1024 * 1024
    end

    assert {:error, %Error{kind: :protocol}, []} = GRPC.push(%GRPC{}, <<1, 5::32, "hello">>)
    {result, grown} = growth(fn -> GRPC.push(%GRPC{}, <<0, 200 * 1024 * 1024::32, "x">>) end)
    assert {:ok, [], _waiting} = result
    assert grown < 1024 * 1024
  end

  test "messages that are not protobuf are refused at every level" do
    for bytes <- [<<0x22, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F>>, :binary.copy(<<0xFF>>, 1000)] do
      {result, grown} = growth(fn -> ServerFrame.decode(bytes) end)
      assert {:error, reason} = result
      assert is_binary(reason)
      assert grown < @bytes
    end

    # What is nested is read as far as the messages go, however deep it is.
    deep = Enum.reduce(1..20_000, "", fn _, inner -> nested(inner) end)
    {result, grown} = growth(fn -> ServerFrame.decode(deep) end)
    assert {:ok, %ServerFrame{}} = result
    assert grown < @bytes

    frame = conversation_frames() |> List.last() |> ServerFrame.encode() |> IO.iodata_to_binary()

    for seed <- 1..@mutations do
      case ServerFrame.decode(Cuts.mutate(frame, seed, 1 + rem(seed, 4))) do
        {:ok, %ServerFrame{}} -> :ok
        {:error, reason} -> assert is_binary(reason)
      end
    end
  end

  test "an instance answers its callers when its worker sends invalid bytes", context do
    for {bytes, n} <- Enum.with_index(nonsense()) do
      {:ok, fake} = FakeWorker.start_link()
      name = :"#{context.test} #{n}"
      options = [name: name, connect: fake.address, start_timeout: 0, grace: 10]
      {:ok, _pid} = start_supervised({Vllm, options}, id: name, restart: :temporary)
      ref = ref({name, node()}, "r1", "AsyncLLM")
      calls = for _ <- 1..5, do: Task.async(fn -> Vllm.call(ref, "check_health") end)
      assert_receive {:client, %ClientFrame{calls: [_ | _]}}

      capture_log(fn ->
        FakeWorker.send_raw(fake, bytes)

        for result <- Task.await_many(calls, :infinity) do
          assert {:error, %Error{kind: :worker_down} = error} = result
          assert error.message =~ inspect(name)
        end

        stop_supervised(name)
      end)

      FakeWorker.cleanup(fake)
    end
  end

  # What ends a session, one for each level.
  defp nonsense do
    [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      # a frame above the limit, and a window of nothing
      <<0xFF, 0xFF, 0xFF, 0, 0, 1::32>> <> :binary.copy("x", 100),
      IO.iodata_to_binary(:cow_http2.window_update(0)) |> zero_increment(),
      # a gRPC message of 2 GB, one that is compressed, and one that is no protobuf
      data(<<0, 2_147_483_647::32, "x">>),
      data(<<1, 5::32, "hello">>),
      data(<<0, 6::32, 0x22, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F>>)
    ]
  end

  defp zero_increment(<<head::binary-size(9), _::32>>), do: head <> <<0::32>>

  defp data(payload), do: IO.iodata_to_binary(:cow_http2.data(1, :nofin, payload))

  defp nested(inner), do: <<0x22, varint(byte_size(inner))::binary, inner::binary>>

  defp varint(n) when n < 128, do: <<n>>
  defp varint(n), do: <<1::1, rem(n, 128)::7, varint(div(n, 128))::binary>>

  describe "an item of a stream" do
    # The payloads of items that the worker sends in one frame, as the consumer gets them.
    defp payloads(context, sizes) do
      stream = open_stream(context, 1)
      {connection, 1} = stream.source
      reply_to = :erlang.alias()
      send(connection, {:attach, 1, reply_to, [self()]})

      replies =
        for size <- sizes,
            do: %CallReply{call: 1, outcome: {:item, :binary.copy("x", size)}}

      FakeWorker.send_frame(context.fake, %ServerFrame{replies: replies})

      for size <- sizes do
        assert_receive {^reply_to, {:item, payload}} when byte_size(payload) == size
        payload
      end
    end

    test "does not keep the others of its frame in memory", context do
      for payload <- payloads(context, [65, 100_000, 150_000]),
          do: assert(:binary.referenced_byte_size(payload) <= 2 * byte_size(payload))
    end

    test "is not copied where it is most of its frame", context do
      [payload] = payloads(context, [100_000])
      assert :binary.referenced_byte_size(payload) in 100_001..100_100
    end
  end

  test "what the worker says of engines is passed on, with their references" do
    test = self()

    state = %State{
      instance: {:here, node()},
      hello: %ServerHello{incarnation: "i"},
      on_engine_event: fn instance, event ->
        send(test, {instance, event})
        :ok
      end
    }

    notices =
      for type <- ["", "LLM"] do
        %Notice{event: {:engine_died, %EngineDied{ref: "r" <> type, type: type, failure: nil}}}
      end

    loads = [%EngineLoad{ref: "r1", running: 2}]
    frame = %ServerFrame{notices: notices, loads: loads}
    capture_log(fn -> assert Incoming.frames(state, [frame, %ServerFrame{}]) == {:ok, state} end)

    for {id, type} <- [{"r", "AsyncLLM"}, {"rLLM", "LLM"}] do
      ref = %Ref{instance: {:here, node()}, incarnation: "i", id: id, type: type}
      assert_received {{:here, _node}, {:died, ^ref, "the worker gave no reason"}}
    end

    assert_received {{:here, _node}, {:loads, ^loads}}
    refute_received {{:here, _node}, _event}
  end

  describe "an argument that is a stream" do
    # A call whose argument this process produces.
    defp produced_call(context, producer) do
      request = %CallRequest{target: {:ref, "r1"}, method: "m", args: "", kwargs: ""}
      call = {:call, :erlang.alias(), self(), request, 1, producer}
      send(connection(context.instance), call)
      assert_call(1)
    end

    test "is asked for an element, and told that no more are wanted", context do
      produced_call(context, self())
      FakeWorker.reply(context.fake, 1, {:input_wanted, %InputWanted{}})
      connection = connection(context.instance)
      assert_receive {_tag, {:wanted, ^connection, 1}}
      FakeWorker.reply(context.fake, 1, {:inputs_closed, %InputsClosed{}})
      assert_receive {_tag, :stop}
    end

    test "that nobody produces fails at the worker", context do
      produced_call(context, nil)
      FakeWorker.reply(context.fake, 1, {:input_wanted, %InputWanted{}})
      assert_receive {:client, %ClientFrame{inputs: [%Input{call: 1, step: {:failure, failure}}]}}
      assert %Failure{kind: :cancelled, message: "the process that enumerates" <> _} = failure
    end
  end

  ## A conversation, from the worker's side

  defp conversation_frames do
    [
      %ServerFrame{
        hello: %ServerHello{
          protocol_version: 1,
          worker_version: "1.2.3",
          incarnation: String.duplicate("a", 32),
          pid: 77
        }
      },
      %ServerFrame{
        replies: [
          %CallReply{call: 1, outcome: accepted()},
          %CallReply{call: 2, outcome: value(%{"a" => [1, 2.5, "three"]})}
        ]
      },
      %ServerFrame{
        replies: for(n <- 1..5, do: %CallReply{call: 1, outcome: item(List.duplicate(n, 20))}),
        notices: [
          %Notice{event: {:draining, %Draining{grace_ms: 500}}},
          %Notice{event: {:engine_died, %EngineDied{ref: "r1", failure: failure()}}}
        ]
      },
      %ServerFrame{
        replies: [
          %CallReply{call: 3, outcome: {:failure, failure()}},
          %CallReply{call: 1, outcome: ended()}
        ]
      }
    ]
  end

  defp failure do
    %Failure{
      kind: :invalid,
      message: "n is too large",
      type: "builtins.ValueError",
      cause: %Failure{kind: :python, message: "because", type: "builtins.KeyError"}
    }
  end

  defp conversation do
    {preface, peer, id} = opened()

    {bytes, _peer} =
      Enum.map_reduce(conversation_frames(), peer, fn frame, peer ->
        HTTP2Peer.send_data(peer, id, frame |> ServerFrame.encode() |> GRPC.frame())
      end)

    IO.iodata_to_binary([preface | bytes])
  end

  # What the peer has to say before, its answer to the headers included.
  defp opened do
    {out, _session} = Session.open(%Vllm.Proto.ClientHello{token: "token"})
    {preface, peer} = HTTP2Peer.new()
    {_events, answer, peer} = HTTP2Peer.handle_bytes(peer, IO.iodata_to_binary(out))
    {[preface, answer], peer, 1}
  end

  defp run(bytes, seed) do
    {_out, session} = Session.open(%Vllm.Proto.ClientHello{token: "token"})

    bytes
    |> Cuts.random(seed)
    |> Enum.reduce_while({:alive, session}, fn piece, {:alive, session} ->
      case Session.handle_bytes(session, piece) do
        {frames, nil, out, session} ->
          assert Enum.all?(
                   frames,
                   &(is_struct(&1, ServerFrame) or match?({:item, _, <<_::bits>>}, &1))
                 )

          assert IO.iodata_length(out) < 1024 * 1024
          {:cont, {:alive, session}}

        {_frames, %Error{} = error, out, _session} ->
          assert String.printable?(error.message)
          assert IO.iodata_length(out) < 1024 * 1024
          {:halt, {error.kind, nil}}
      end
    end)
    |> elem(0)
  end

  # How much more memory this process and its binaries had at the end.
  defp growth(fun) do
    test = self()

    {:ok, pid} =
      Task.start_link(fn ->
        before = own_memory()
        result = fun.()
        send(test, {:grown, self(), result, own_memory() - before})
      end)

    receive do
      {:grown, ^pid, result, bytes} -> {result, bytes}
    end
  end

  defp own_memory do
    {:memory, heap} = Process.info(self(), :memory)
    {:binary, binaries} = Process.info(self(), :binary)
    heap + Enum.reduce(binaries, 0, fn {_id, size, _count}, sum -> sum + size end)
  end
end
