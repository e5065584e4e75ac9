# Compiled only where Igniter is, an optional dependency.
if Code.ensure_loaded?(Igniter.Mix.Task) do
  defmodule Mix.Tasks.VllmBridge.Install do
    @shortdoc "Adds vLLM to an application: an instance, an engine, a test"

    @example "mix igniter.install vllm_bridge --model Qwen/Qwen3-0.6B"

    @moduledoc """
    #{@shortdoc}. `mix igniter.install` runs it:

        #{@example}

    It adds

      * a module such as `MyApp.Vllm`, with a child for the supervision tree and a first function, `ask/1`
      * that child, as the first of the application
      * the engine `:chat` to `config/config.exs`, and `Vllm.Test` in the place of vLLM to `config/test.exs`
      * a test of that function

    What is there already stays as it is.

      * `--model` - a folder, or a name on Hugging Face, from where vLLM downloads it. By default
        `HuggingFaceTB/SmolLM2-135M-Instruct`, a small one
      * `--cpu` - arguments for a machine without a GPU, where vLLM would take nine tenths of the memory for
        its cache. Here it takes 1 GiB

    The Python environment is left to `mix vllm.setup`, because it takes 4 GB.
    """

    use Igniter.Mix.Task

    alias Igniter.Project

    @model "HuggingFaceTB/SmolLM2-135M-Instruct"

    @cpu [enforce_eager: true, kv_cache_memory_bytes: 1024 * 1024 * 1024]

    @impl Igniter.Mix.Task
    def info(_argv, _composing_task) do
      %Igniter.Mix.Task.Info{
        group: :vllm_bridge,
        schema: [model: :string, cpu: :boolean],
        defaults: [model: @model, cpu: false],
        example: @example
      }
    end

    @impl Igniter.Mix.Task
    def igniter(igniter) do
      options = igniter.args.options
      application = Project.Application.app_name(igniter)
      module = Project.Module.module_name(igniter, "Vllm")
      test = Project.Module.module_name(igniter, "VllmTest")
      engine = [model: options[:model]] ++ if(options[:cpu], do: @cpu, else: [])

      igniter
      |> Project.Config.configure_new("config.exs", application, [module, :engines], chat: engine)
      |> Project.Config.configure_new("test.exs", application, [module, :vllm], Vllm.Test)
      |> add_module(module, instance(application), [])
      |> add_module(test, test(module), location: :test)
      |> Project.Application.add_new_child(module)
      |> Igniter.add_notice(notice(module))
    end

    # An update that changes nothing keeps the module of an earlier run.
    defp add_module(igniter, module, code, options),
      do:
        Project.Module.find_and_update_or_create_module(
          igniter,
          module,
          code,
          &{:ok, &1},
          options
        )

    defp instance(application) do
      ~s'''
      @moduledoc """
      vLLM in this application: a worker with the engines that the configuration declares.
      """

      @doc false
      # Tests have Vllm.Test in the place of Vllm. It takes the same options.
      def child_spec(_options) do
        options = Application.fetch_env!(#{inspect(application)}, __MODULE__)
        {vllm, options} = Keyword.pop(options, :vllm, Vllm)
        vllm.child_spec([name: __MODULE__] ++ options)
      end

      @doc "Answers a question. Waits while the engine is being built."
      @spec ask(String.t()) :: {:ok, String.t()} | {:error, Vllm.Error.t()}
      def ask(question) do
        with {:ok, engine} <- Vllm.engine(__MODULE__, :chat, :infinity),
             {:ok, answer} <- Vllm.chat(engine, question, max_tokens: 200) do
          {:ok, hd(answer.choices).message.content}
        end
      end
      '''
    end

    defp test(module) do
      ~s'''
      use ExUnit.Case

      # The fake engine of the application, see config/test.exs.
      setup do
        engine = Vllm.Test.await_engine!(#{inspect(module)})
        Vllm.Test.reset(engine)
        %{engine: engine}
      end

      test "a question is answered", %{engine: engine} do
        Vllm.Test.reply(engine, "What is the capital of France?", "Paris.")
        assert #{inspect(module)}.ask("What is the capital of France?") == {:ok, "Paris."}
      end

      test "a busy engine is an error that may pass", %{engine: engine} do
        Vllm.Test.refuse_admission(engine)
        assert {:error, %Vllm.Error{retryable: true}} = #{inspect(module)}.ask("Hello")
      end
      '''
    end

    defp notice(module) do
      """
      vLLM is in the supervision tree, as #{inspect(module)}. What is left:

          mix vllm.setup     makes the Python environment with vLLM (4 GB, some minutes)
          mix vllm.doctor    checks the machine
          mix test           answers come from a fake engine
          iex -S mix         then #{inspect(module)}.ask("What is the capital of France?")

      The engine is in config/config.exs. A machine without a GPU wants the arguments of --cpu there.
      """
    end
  end
end
