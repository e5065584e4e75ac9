defmodule Vllm.Core.Worker.LoadingTest do
  # Whether there are colours is a setting of the whole node.
  use ExUnit.Case, async: false

  import ExUnit.CaptureIO
  import Vllm.FakeWorkerCase, only: [wait_until: 1]

  alias Vllm.Core.Worker.Loading

  @log [
    "(MainProcess pid=9) WARNING 11-29 [vllm.py:1703] Enforce eager set, disabling torch.compile",
    "(EngineCore pid=1) INFO 11-29 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x",
    "(EngineCore pid=1) INFO 11-29 [gpu_model_runner.py:68] Starting to load model x...",
    "(EngineCore pid=1) INFO 11-29 [default_loader.py:501] Loading weights took 0.21 seconds",
    "(EngineCore pid=1) INFO 11-29 [kv_cache_utils.py:2327] GPU KV cache size: 46,592 tokens",
    "(EngineCore pid=1) INFO 11-29 [core.py:402] init engine (profile, warmup model) took 0.55 s"
  ]

  test "the steps of vLLM's log are told in their order, each further than the one before" do
    steps = for count <- 0..length(@log), do: @log |> Enum.take(count) |> Loading.step()
    {filled, texts} = Enum.unzip(steps)
    assert filled == filled |> Enum.uniq() |> Enum.sort()

    assert texts == [
             "importing vLLM",
             "starting vLLM's process",
             "preparing the model",
             "loading the weights",
             "making the KV cache",
             "warming up",
             "connecting"
           ]
  end

  test "a line that says nothing about the loading changes nothing" do
    noise = List.duplicate("WARNING: something else", 50)
    assert Loading.step(noise) == Loading.step([])
    assert Loading.step(@log ++ noise) == Loading.step(@log)
  end

  test "the bar has the class, the step and the time" do
    began = System.monotonic_time(:millisecond) - 1_500

    assert Loading.bar("AsyncLLM:", 10, "loading the weights", began) =~
             ~r/^AsyncLLM: \[#{String.duplicate("#", 10)}\.{10}\] loading the weights \(1\.\d s\)$/
  end

  test "where no shell waits, nothing is drawn, and the call runs in the process itself" do
    call = fn -> self() end

    assert capture_io(fn ->
             assert Loading.shown({A, node()}, "AsyncLLM", "from_engine_args", 0, call) == self()
           end) == ""
  end

  describe "in a shell at a terminal" do
    setup do
      before = Application.fetch_env!(:elixir, :ansi_enabled)
      Application.put_env(:elixir, :ansi_enabled, true)
      on_exit(fn -> Application.put_env(:elixir, :ansi_enabled, before) end)
      Process.put(:iex_server, self())
      :ok
    end

    defp drawn?, do: Process.group_leader() |> StringIO.contents() |> elem(1) =~ "AsyncLLM: ["

    test "a bar is drawn while the engine loads, and removed when it has" do
      output =
        capture_io(fn ->
          call = fn -> wait_until(&drawn?/0) end
          Loading.shown({A, node()}, "AsyncLLM", "from_engine_args", nil, call)
        end)

      assert output =~ "\rAsyncLLM: [....................] importing vLLM ("
      assert String.ends_with?(output, "\r\e[K")
    end

    test "the bar is removed when the call raises" do
      output =
        capture_io(fn ->
          call = fn ->
            wait_until(&drawn?/0)
            raise "no"
          end

          assert_raise RuntimeError, fn ->
            Loading.shown({A, node()}, "AsyncLLM", "from_engine_args", nil, call)
          end
        end)

      assert String.ends_with?(output, "\r\e[K")
    end

    test "other calls draw nothing" do
      call = fn -> :done end

      assert capture_io(fn ->
               assert Loading.shown({A, node()}, "Worker", "status", nil, call) == :done
             end) == ""
    end
  end
end
