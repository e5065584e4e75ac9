defmodule Vllm.Bridge.TestKitRecordTest do
  # What reached a fake engine, and assertions about it.
  use Vllm.TestKitCase, async: true

  test "accepts every argument that vLLM accepts", %{worker: worker} do
    engine = Vllm.Test.engine!(worker, kv_cache_dtype: "fp8", data_parallel_rank: 1)
    assert texts(engine, "a", max_tokens: 1, thinking_token_budget: 7) == [" 256"]
    assert [%Request{params: params}] = Vllm.Test.requests(engine)

    assert params == %SamplingParams{
             max_tokens: 1,
             thinking_token_budget: 7,
             output_kind: :DELTA
           }

    assert {:error, %Error{kind: :invalid}} =
             AsyncLLM.from_engine_args(worker, model: "m", kv_cahce_dtype: "fp8")
  end

  describe "the record of an engine" do
    test "has requests as structs, including refused ones", %{engine: engine} do
      Vllm.Test.refuse(engine, :invalid, prompt: "b")
      texts(engine, "a", max_tokens: 3, temperature: 0.5)
      lora = %Vllm.LoRARequest{lora_name: "sql", lora_int_id: 1, lora_path: "/a"}
      AsyncLLM.generate(engine, "b", [], "r2", lora_request: lora, priority: 7)

      assert [%Request{method: :generate, prompt: "a"} = first, %Request{} = second] =
               Vllm.Test.requests(engine)

      assert %SamplingParams{max_tokens: 3, temperature: 0.5} = first.params
      assert first.options == %{"priority" => 0}
      assert %{request_id: "r2", options: %{"priority" => 7, "lora_request" => ^lora}} = second
    end

    test "has every call of a method", %{engine: engine} do
      Vllm.call(engine, :sleep, level: 2)
      assert [{[2, _mode], %{}}] = Vllm.Test.calls(engine, :sleep)
      assert {[2, _mode], %{}} = Vllm.Test.assert_called(engine, :sleep)
      assert Vllm.Test.calls(engine, "wake_up") == []
    end

    test "is cleared by reset/1", %{engine: engine} do
      Vllm.Test.reply(engine, :any, ["x"])
      texts(engine, "a")
      :ok = Vllm.Test.reset(engine)
      assert Vllm.Test.requests(engine) == []
      assert texts(engine, "a", max_tokens: 1) == [" 256"]
    end
  end

  describe "an assertion" do
    test "waits for calls that come later", %{engine: engine} do
      request = Task.async(fn -> Vllm.Test.assert_generated(engine, prompt: ~r/^B/) end)
      called = Task.async(fn -> Vllm.Test.assert_called(engine, :sleep, count: 2) end)
      aborted = Task.async(fn -> Vllm.Test.assert_aborted(engine, "r-b") end)
      Vllm.Test.hang_after(engine, 0)

      for id <- ["a", "b"] do
        {:ok, _stream} = AsyncLLM.generate(engine, String.upcase(id), [max_tokens: 7], "r-" <> id)
      end

      assert %Request{request_id: "r-b", params: %{max_tokens: 7}} =
               Task.await(request, :infinity)

      AsyncLLM.abort(engine, "r-b")
      assert Task.await(aborted, :infinity) == :ok
      for level <- [1, 2], do: Vllm.call(engine, :sleep, level: level)
      assert {[2, _mode], %{}} = Task.await(called, :infinity)
    end

    test "fails with a message that shows what happened instead", %{engine: engine} do
      flunks(~r/the engine got none/, fn ->
        Vllm.Test.assert_generated(engine, timeout: 20)
      end)

      texts(engine, "a", max_tokens: 3)

      flunks(~r/max_tokens: 4.*prompt: "a"/s, fn ->
        Vllm.Test.assert_generated(engine, params: [max_tokens: 4], timeout: 20)
      end)

      flunks(~r/"r" was not aborted; aborted requests: \[\]/, fn ->
        Vllm.Test.assert_aborted(engine, "r", timeout: 20)
      end)

      flunks(~r/sleep was called 0 times; expected 1/, fn ->
        Vllm.Test.assert_called(engine, :sleep, timeout: 20)
      end)

      flunks(~r/0 requests are in flight; expected 1/, fn ->
        Vllm.Test.assert_live(engine, 1, timeout: 20)
      end)
    end
  end
end
