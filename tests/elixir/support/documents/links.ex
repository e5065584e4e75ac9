defmodule Vllm.Documents.Links do
  @moduledoc false
  # The links of a page that lead nowhere: to a file that is not there, or a heading that a page lacks.

  alias Vllm.Documents

  @spec broken(Path.t()) :: [String.t()]
  def broken(page) do
    for [_, target] <- Regex.scan(~r/\]\(([^)\s]+)\)/, Documents.prose(page)),
        not (target =~ ~r/^https?:/),
        fault = fault(page, String.split(target, "#", parts: 2)),
        do: "#{target} #{fault}"
  end

  defp fault(page, [""]), do: "leads nowhere in #{page}"
  defp fault(page, [path]), do: unless(File.exists?(file(page, path)), do: "is no file")

  defp fault(page, [path, anchor]) do
    file = if path == "", do: page, else: file(page, path)

    cond do
      not File.exists?(file) -> "is no file"
      anchor not in anchors(file) -> "is no heading of #{file}"
      true -> nil
    end
  end

  defp file(page, path), do: page |> Path.dirname() |> Path.join(path)

  # As GitHub and ExDoc make them.
  defp anchors(file) do
    for [_, heading] <- Regex.scan(~r/^\#{1,6} (.+)$/m, Documents.prose(file)) do
      heading
      |> String.downcase()
      |> String.replace(~r/[^\w\- ]/u, "")
      |> String.replace(" ", "-")
    end
  end
end
