defmodule Vllm.Faults.NetworkTest do
  # A session over TCP whose network is slow, loses what it should carry, or is gone without a word.
  use Vllm.FaultCase, async: true

  describe "with a proxy between" do
    setup %{name: name} do
      {%{address: address, os_pid: worker}, _port} = by_hand(["--listen", "tcp:127.0.0.1:0"])
      {proxy, through} = Proxy.start_link(address)
      engine = attach(name, through)
      %{proxy: proxy, engine: engine, worker: worker, direct: address}
    end

    test "4 MB a second", %{proxy: proxy, engine: engine} do
      survived("network", "4 MB a second, each way", engine, fn ->
        Proxy.set(proxy, {:throttle, 4_000_000})
        FaultCase.rounds(engine, 5)
      end)
    end

    for {fault, mode} <- [
          {"reset in the middle of a frame", {:cut, 12_345}},
          {"reset at a frame's first bytes", {:cut, 3}},
          {"reset in the middle of a large value", {:cut, 1_500_000}}
        ] do
      test fault, %{proxy: proxy, engine: engine} do
        lost("network", unquote(fault), engine, [:worker_down], fn ->
          Proxy.set(proxy, unquote(Macro.escape(mode)))
        end)

        Proxy.set(proxy, :pass)
        FaultCase.assert_same_worker(engine)
      end
    end

    test "the client's side closed and the worker's left open", context do
      %{proxy: proxy, engine: engine} = context

      lost("network", "half open: closed for the client only", engine, [:worker_down], fn ->
        Proxy.set(proxy, :half_open)
      end)

      # The worker has both sessions until the proxy closes the old one.
      Proxy.set(proxy, :pass)
      FaultCase.assert_same_worker(engine)
    end

    for {fault, mode} <- [
          {"a proxy that takes everything and passes nothing on", :swallow},
          {"a proxy that takes nothing any more", :stall}
        ] do
      test fault, %{proxy: proxy, engine: engine} do
        lost("network", unquote(fault), engine, [:worker_down], fn ->
          Proxy.set(proxy, unquote(mode))
        end)

        Proxy.set(proxy, :pass)
        FaultCase.assert_same_worker(engine)
      end
    end
  end
end
