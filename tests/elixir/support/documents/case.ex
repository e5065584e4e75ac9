defmodule Vllm.Documents.Case do
  @moduledoc false
  # Tests that run the pages of the manual on a real engine:
  #
  #     use Vllm.Documents.Case, engine: :chat
  #
  # `prepared(page, context)` of the module returns what a page takes as given, beside `engine`.

  defmacro __using__(options) do
    engine =
      quote do
        use Vllm.VllmEngine, unquote(options)
        @stage unquote(Keyword.fetch!(options, :engine))
      end

    tests =
      quote unquote: false do
        for page <- Vllm.Documents.on(@stage) do
          test "the examples of #{page} run", %{engine: engine} = context do
            bindings = [engine: engine] ++ prepared(Path.basename(unquote(page)), context)
            Vllm.Documents.Runner.run(unquote(page), @stage, bindings)
          end
        end
      end

    {:__block__, [], [engine, tests]}
  end
end
