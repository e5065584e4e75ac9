defmodule Vllm.Bridge.MelleaBackendTest do
  # The backend of Mellea: its options, its formatter, and an engine of its own or one that was given.

  # vLLM's files of the worker, for the test of the compile cache.
  @cache_root Path.join(System.tmp_dir!(), "vllm-mellea-#{System.pid()}")

  use Vllm.MelleaCase, env: %{"VLLM_CACHE_ROOT" => @cache_root}

  alias Vllm.Mellea.Backends.LocalVLLMBackend
  alias Vllm.Mellea.{ChatContext, Component, Message, ModelOutputThunk, TemplateFormatter}

  test "options of the call stand before those of the backend", %{engine: engine} do
    options = %{max_new_tokens: 5, temperature: 0.5, bogus: 1}
    {:ok, backend} = LocalVLLMBackend.new("a/model", engine: engine, model_options: options)

    assert {:ok, %{sampling: sampling}} =
             LocalVLLMBackend.effective_options(backend, temperature: 0.0, nonsense: true)

    assert sampling == %{"max_tokens" => 5, "temperature" => 0.0}
    {:ok, to} = LocalVLLMBackend.to_mellea_model_opts_map(backend)
    {:ok, from} = LocalVLLMBackend.from_mellea_model_opts_map(backend)
    assert %{"max_tokens" => "@@@max_new_tokens@@@", "temperature" => "temperature"} = to
    assert Map.new(to, fn {name, mellea} -> {mellea, name} end) == from
  end

  test "an engine that was given stays its owner's", context do
    for function <- [:engine_args, :restart_engine, :shutdown] do
      assert {:error, %Error{kind: :unsupported}} =
               apply(LocalVLLMBackend, function, [context.backend])
    end

    assert {:ok, nil} = AsyncLLM.check_health(context.engine)
  end

  test "an engine of its own is built, restarted and shut down", %{instance: instance} do
    options = %{max_model_len: 512, bogus: 1, seed: 7}
    {:ok, backend} = LocalVLLMBackend.new("fake", instance: instance, model_options: options)
    {:ok, args} = LocalVLLMBackend.engine_args(backend)

    assert args == %{
             "max_model_len" => 512,
             "max_num_seqs" => 16,
             "gpu_memory_utilization" => 0.9,
             "seed" => 7
           }

    # An option that both know reaches both.
    assert LocalVLLMBackend.effective_options(backend, top_k: 5, nonsense: true) ==
             {:ok, %{engine: args, sampling: %{"seed" => 7, "top_k" => 5}}}

    {:ok, before} = text(backend)
    assert {:ok, nil} = LocalVLLMBackend.restart_engine(backend)
    assert {:ok, ^before} = text(backend)
    assert LocalVLLMBackend.engine_args(backend) == {:ok, args}
    assert {:ok, nil} = LocalVLLMBackend.shutdown(backend)
    assert {:error, %Error{kind: :engine_dead}} = text(backend)
  end

  # What vLLM says where a compiled artifact of an earlier run is broken, and what Mellea's backend did.
  @broken_cache "vLLM failed to compile the model. The most likely reason for this is that a previous " <>
                  "compilation failed, leading to a corrupted compilation artifact. We recommend " <>
                  "trying to remove ~/.cache/vllm/torch_compile_cache and try again to see the real " <>
                  "issue. "

  test "a compile cache that is broken is removed, and the engine starts", %{instance: instance} do
    cache = Path.join(@cache_root, "torch_compile_cache")
    on_exit(fn -> File.rm_rf!(@cache_root) end)
    File.mkdir_p!(Path.join(cache, "abc"))
    File.write!(Path.join(cache, "abc/artifact"), "broken")
    Vllm.Test.fail_start(instance, {:engine_error, @broken_cache}, times: 1)

    {:ok, backend} = LocalVLLMBackend.new("fake", instance: instance)
    assert File.ls!(@cache_root) == []
    # Nothing was made smaller.
    {:ok, args} = LocalVLLMBackend.engine_args(backend)
    assert %{"max_num_seqs" => 16, "max_model_len" => 16_384} = args
    assert {:ok, nil} = LocalVLLMBackend.shutdown(backend)
  end

  defp text(backend) do
    with {:ok, {thunk, _context}} <-
           LocalVLLMBackend.generate_from_context(backend, "x", %ChatContext{}),
         do: ModelOutputThunk.avalue(thunk)
  end

  test "a formatter renders components of one's own", %{instance: instance, engine: engine} do
    {:ok, formatter} = TemplateFormatter.new("a/model", instance: instance)
    own = %Component{name: "Greeting", args: %{who: "Ada"}, template: "Hello {{ who }}!"}
    assert TemplateFormatter.print(formatter, own) == {:ok, "Hello Ada!"}

    assert {:ok, [%Message{role: "user", content: "Hello Ada!"}]} =
             TemplateFormatter.to_chat_messages(formatter, [own])

    {:ok, backend} = LocalVLLMBackend.new("a/model", engine: engine, formatter: formatter)
    assert {:ok, prompt} = LocalVLLMBackend.render_prompt(backend, own, %ChatContext{})
    assert prompt =~ "Hello Ada!"
  end
end
