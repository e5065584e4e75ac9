defmodule Vllm.Faults.ClockTest do
  # The clock is set while requests run.
  use Vllm.FaultCase, needs: [:faketime]

  setup %{folder: folder} do
    file = Path.join(folder, "clock")
    Tools.set_clock(file, "+0d")
    %{clock: file, variables: Tools.clock_variables(file)}
  end

  for {fault, offset} <- [{"30 days forward", "+30d"}, {"30 days back", "-30d"}] do
    test "worker: the clock jumps #{fault}", context do
      %{name: name, clock: file, variables: variables} = context
      engine = start(name, env: variables)

      survived("worker", "the clock jumps #{unquote(fault)}", engine, fn ->
        Tools.set_clock(file, unquote(offset))
        assert_deadline(engine)
      end)

      # Engines are built and shut down by the new clock too.
      assert AsyncLLM.shutdown(engine(name)) == {:ok, nil}
      stop(name)
    end

    test "BEAM: the clock jumps #{fault}", context do
      %{name: name, clock: file, variables: variables} = context
      env = for {key, value} <- variables, do: {~c"#{key}", ~c"#{value}"}
      # The worker keeps the true clock.
      unset = Map.new(variables, fn {key, _value} -> {key, false} end)
      {peer, engine, tree} = boot(name, [env: unset], %{env: env})

      survived_in(peer, "BEAM", "the clock jumps #{unquote(fault)}", engine, fn ->
        before = OtherNode.call(peer, System, :os_time, [:second])
        Tools.set_clock(file, unquote(offset))
        # It reads the file once a second.
        wait_until(fn ->
          jumped = OtherNode.call(peer, System, :os_time, [:second]) - before
          abs(jumped) > 29 * 24 * 3600
        end)

        OtherNode.call(peer, Vllm.FaultCase, :assert_deadline, [engine])
      end)

      end_of(peer, tree)
    end
  end
end
