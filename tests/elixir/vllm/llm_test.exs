defmodule Vllm.RealEngine.LLMTest do
  # `Vllm.LLM` of real vLLM from Elixir: structs, keywords and errors. What each method does is tested
  # in tests/python/vllm/test_llm*.py. Names of upstream tests are vLLM's.
  use Vllm.VllmEngine

  alias Vllm.{BeamSearchOutput, LLM}

  @greedy [max_tokens: 8, temperature: 0.0]

  setup_all do
    [model: model] = Keyword.take(arguments(:scripted), [:model])
    options = [dtype: "float32", enforce_eager: true, num_gpu_blocks_override: 256]
    options = options ++ [max_model_len: 512, disable_log_stats: false]
    # vLLM logs much while it builds one, and outside of tests it is not captured.
    {{:ok, llm}, _log} = ExUnit.CaptureLog.with_log(fn -> LLM.new(instance(), model, options) end)

    on_exit(fn -> LLM.shutdown(llm) end)
    %{llm: llm}
  end

  # tests/entrypoints/llm/test_generate.py::test_multiple_sampling_params
  test "a batch has its outputs in the order of its prompts", %{llm: llm} do
    assert {:ok, [%RequestOutput{} = hello, counted]} =
             LLM.generate(llm, ["Hello", %{prompt: "count"}], sampling_params: @greedy)

    assert [%CompletionOutput{finish_reason: "stop"} = completion] = hello.outputs
    assert completion.text == hello()
    assert hd(counted.outputs).text == counting(8)
    assert {:error, %Error{kind: :invalid}} = LLM.generate(llm, ["a", "b"], [[@greedy]])
  end

  # tests/entrypoints/llm/test_chat.py::test_chat, test_multi_chat
  test "conversations are answered, one or several", %{llm: llm} do
    one = [%{role: "system", content: "Be kind."}, %{role: "user", content: "Hello"}]
    assert {:ok, [%RequestOutput{}]} = LLM.chat(llm, one, sampling_params: @greedy)
    assert {:ok, [_, _]} = LLM.chat(llm, [one, one], sampling_params: @greedy)
  end

  test "what is queued is waited for", %{llm: llm} do
    assert {:ok, [_, _, _]} = LLM.enqueue(llm, ["a", "b", "c"], sampling_params: @greedy)
    assert {:ok, [_]} = LLM.enqueue_chat(llm, [%{role: "user", content: "d"}])
    assert {:ok, outputs} = LLM.wait_for_completion(llm, output_type: "RequestOutput")
    assert Enum.all?(outputs, & &1.finished)
    assert {length(outputs), LLM.wait_for_completion(llm)} == {4, {:ok, []}}
  end

  test "beams are structs, the best first", %{llm: llm} do
    assert {:ok, [%BeamSearchOutput{sequences: [best, second]}]} =
             LLM.beam_search(llm, ["Hello"], %Vllm.BeamSearchParams{beam_width: 2, max_tokens: 4})

    assert best.cum_logprob >= second.cum_logprob
    assert best.text =~ "from a scripted"
  end

  # tests/v1/engine/test_llm_engine.py::test_engine_metrics
  test "metrics are structs", %{llm: llm} do
    assert {:ok, metrics} = LLM.get_metrics(llm)

    assert %Vllm.Gauge{value: value} =
             Enum.find(metrics, &(&1.name == "vllm:num_requests_running"))

    assert value == 0.0
    assert Enum.any?(metrics, &match?(%Vllm.Histogram{buckets: %{"+Inf" => _}}, &1))
    assert Enum.any?(metrics, &match?(%Vllm.Counter{labels: %{"model_name" => _}}, &1))
  end

  test "what it says of itself", %{llm: llm} do
    assert {:ok, "LlamaForCausalLM" <> _layers} = LLM.inspect_model(llm)
    assert LLM.get_world_size(llm) == {:ok, 1}
    assert {:ok, %SamplingParams{temperature: 1.0}} = LLM.get_default_sampling_params(llm)
    assert {:ok, %Ref{} = tokenizer} = LLM.get_tokenizer(llm)
    assert {:ok, ids} = Vllm.call(tokenizer, "encode", ["Hello"])
    assert {:ok, text} = Vllm.call(tokenizer, "decode", [ids], skip_special_tokens: true)
    assert text =~ "Hello"
  end

  # tests/v1/shutdown/test_sleep_error.py
  test "a batch that would run in a sleep is refused, where Python hangs", %{llm: llm} do
    assert LLM.sleep(llm, level: 0) == {:ok, nil}
    assert {:error, %Error{kind: :conflict, message: message}} = LLM.generate(llm, "Hello")
    assert message =~ "wake_up"
    assert LLM.wake_up(llm) == {:ok, true}
    assert {:ok, [_]} = LLM.generate(llm, "Hello", sampling_params: @greedy)
  end

  test "a caller that is killed takes its batch along", %{llm: llm} do
    endless = [max_tokens: 400, temperature: 0.0, ignore_eos: true]
    caller = spawn(fn -> LLM.generate(llm, List.duplicate("a", 30), sampling_params: endless) end)
    wait_until(fn -> LLM.get_num_unfinished_requests(llm) == {:ok, 30} end)
    Process.exit(caller, :kill)
    assert {:ok, [_]} = LLM.generate(llm, "Hello", sampling_params: @greedy)
    assert LLM.get_num_unfinished_requests(llm) == {:ok, 0}
  end

  test "a function reaches the model only where the operator allows it", %{llm: llm} do
    assert {:error, %Error{kind: :unsupported, message: message}} =
             LLM.apply_model(llm, "tests.python.support.model_functions:count_parameters")

    assert message =~ "VLLM_ALLOW_INSECURE_SERIALIZATION"
  end

  test "a wrong keyword of the constructor is named", _context do
    assert {:error, %Error{kind: :invalid, message: message}} =
             LLM.new(instance(), "no-such-model", bogus: 1)

    assert message =~ "bogus"
    # vLLM refuses this one itself.
    options = [data_parallel_size: 2]
    assert {:error, %Error{kind: :invalid}} = LLM.new(instance(), model(:scripted), options)
  end
end
