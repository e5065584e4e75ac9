defmodule Vllm.Hosts.HostsTest do
  # A declared engine over two hosts.
  use Vllm.HostsCase, async: false

  test "it answers on both hosts, and is built again when the other one's core is killed",
       context do
    start_supervised!({Vllm, name: __MODULE__, engines: [it: context.engine], log: false})
    engine = built(__MODULE__)
    expected = answer(engine, 0)
    assert answer(engine, 1) == expected

    # Without a rank vLLM divides them.
    answers = 1..32 |> Task.async_stream(fn _ -> answer(engine, nil) end, timeout: built())
    assert Enum.uniq(for {:ok, answer} <- answers, do: answer) == [expected]

    assert {:ok, false} = AsyncLLM.is_sleeping(engine)
    assert {:ok, [nil]} = AsyncLLM.collective_rpc(engine, "check_health")

    again =
      with_log(fn ->
        streams = for rank <- [0, 1, 0, 1], do: endless(engine, rank)
        [core] = cores(context.node)
        {_, 0} = System.cmd("kill", ["-KILL", core])

        for stream <- streams do
          assert {:error, %Error{kind: :engine_dead} = error} = Stream.collect(stream)
          assert error.message =~ "EngineCore of rank 1 was lost"
        end

        built_again(__MODULE__, engine)
      end)
      |> elem(0)

    assert for(rank <- [0, 1], do: answer(again, rank)) == [expected, expected]

    # Its head ends in order, and the node goes on without a core until it is told to stop.
    stop_supervised!(__MODULE__)
    wait_until(fn -> cores(context.node) == [] end)
    assert python(context.node) != []
    System.cmd("kill", ["-TERM", context.node])
    wait_until(fn -> python(context.node) == [] end)
  end

  defp endless(engine, rank) do
    params = [max_tokens: 480, temperature: 0.0, ignore_eos: true]

    {:ok, stream} =
      AsyncLLM.generate(engine, "Hello", params, request_id(), data_parallel_rank: rank)

    stream
  end
end
